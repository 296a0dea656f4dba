// Asking again and again, gently.

const FIRST = 2000;
const LAST = 5000;
const GROWTH = 1.25;

/**
 * Runs `task` every 2 s, later every 5 s, until it returns true or `stop()` is called. A hidden page does not ask; it asks at
 * once when it is seen again. `task` deals with its own errors.
 */
export function repeat(task) {
  let pause = FIRST;
  let timer = null;
  let stopped = false;
  let running = false;

  const next = () => {
    clearTimeout(timer);
    if (!stopped && !document.hidden) timer = setTimeout(run, pause);
    pause = Math.min(pause * GROWTH, LAST);
  };
  const run = async () => {
    clearTimeout(timer);
    if (stopped || running) return;
    running = true;
    const done = await task().finally(() => (running = false));
    if (done) stop();
    else next();
  };
  const seen = () => {
    if (document.hidden) clearTimeout(timer);
    else now();
  };
  const now = () => {
    pause = FIRST;
    return run();
  };
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
    window.removeEventListener("online", now);
  };

  document.addEventListener("visibilitychange", seen);
  window.addEventListener("online", now);
  next();
  return { stop, now };
}
