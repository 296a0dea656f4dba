// The install page works without this file; with it, it switches devices at once, copies, and says what to do when nothing opens.

const NOTHING_MS = 2500;

const picker = document.querySelector(".picker");

function choose(platform) {
  for (const link of picker.querySelectorAll("a")) {
    if (link.dataset.platform === platform) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  for (const panel of document.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== platform;
  const language = document.getElementById("language");
  const to = new URL(language.href);
  to.searchParams.set("platform", platform);
  language.href = to.search;
}

picker.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  history.replaceState(null, "", link.href);
  choose(link.dataset.platform);
});

// An iPad calls itself a Mac, but no Mac has a screen to touch.
const current = picker.querySelector("[aria-current]").dataset.platform;
const isPad = "guessed" in picker.dataset && current === "macos" && navigator.maxTouchPoints > 1;
choose(isPad ? "ios" : current);

// Opening a program: the page goes to the background if that worked.
let waiting;
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-add]");
  if (!link) return;
  clearTimeout(waiting);
  const panel = link.closest("[data-panel]");
  const hint = panel.querySelector("[data-hint]");
  hint.textContent = "";
  waiting = setTimeout(() => {
    if (document.visibilityState === "visible") hint.textContent = panel.querySelector("[data-nothing]").content.textContent;
  }, NOTHING_MS);
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden") clearTimeout(waiting);
});

// Copying, also where the modern way is not allowed.
const copy = document.getElementById("copy");
const said = document.getElementById("copy-said");
const text = copy.textContent;

async function copied(what) {
  try {
    await navigator.clipboard.writeText(what);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = what;
    area.readOnly = true;
    area.className = "for-ears";
    document.body.append(area);
    area.select();
    try {
      return document.execCommand("copy");
    } catch {
      return false;
    } finally {
      area.remove();
      copy.focus({ preventScroll: true });
    }
  }
}

copy.hidden = false;
copy.addEventListener("click", async () => {
  const worked = await copied(document.getElementById("link").textContent);
  copy.classList.toggle("done", worked);
  copy.textContent = worked ? copy.dataset.done : text;
  said.textContent = worked ? "" : copy.dataset.failed;
  if (worked) setTimeout(() => { copy.textContent = text; copy.classList.remove("done"); }, 2000);
});
