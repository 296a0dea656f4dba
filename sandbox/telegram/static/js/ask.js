// The control API of this sandbox.

/** GET without a body, POST with one. Throws an Error in the sandbox's own words. */
export async function ask(path, body, signal) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(`/sandbox/${path}`, body ? post : { signal });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error || `HTTP ${answer.status}`);
  return said;
}

export const pause = (milliseconds) => new Promise((next) => setTimeout(next, milliseconds));
