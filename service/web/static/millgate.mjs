// What every page has: light and dark, keys, dialogs; and, where something changes by itself, live.mjs.

import { keepFresh, refetch } from "./live.mjs";

const RETRY = 2000;
const main = document.getElementById("main"), root = document.documentElement;
const stored = {  // where the browser keeps nothing, a choice lasts as long as the page
  get: (name) => { try { return localStorage.getItem(name); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(name, value); } catch { /* not kept */ } },
};

const theme = document.getElementById("theme"), dark = matchMedia("(prefers-color-scheme: dark)");
let chosen = stored.get("theme");
const paint = () => { root.dataset.bsTheme = chosen ?? (dark.matches ? "dark" : "light"); };
paint();
dark.addEventListener("change", paint);
theme.hidden = false;
theme.addEventListener("click", () => {
  chosen = root.dataset.bsTheme === "dark" ? "light" : "dark";
  stored.set("theme", chosen);
  paint();
});

const isLive = Boolean(document.getElementById("live"));
const KEYS = {
  "/": () => document.getElementById("search")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  r: () => { if (isLive) refetch(); },
};

function step(by) {
  const links = [...main.querySelectorAll("[data-row], tbody tr")].map((row) => row.querySelector("a")).filter(Boolean);
  const row = links.indexOf(document.activeElement);
  links[row < 0 ? 0 : Math.min(links.length - 1, Math.max(0, row + by))]?.focus();
}

addEventListener("keydown", (event) => {
  const field = event.target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, dialog");
  if (event.key === "Escape" && field?.matches("input, textarea, select")) field.blur();
  const act = KEYS[event.key];
  if (!act || field || event.ctrlKey || event.metaKey || event.altKey || stored.get("keys") === "off") return;
  event.preventDefault();
  act();
});

// Some speak to their computer, and would press keys by it: single keys can be switched off (WCAG 2.1.4).
const keys = document.getElementById("keys");
if (keys) {
  keys.checked = stored.get("keys") !== "off";
  keys.addEventListener("change", () => stored.set("keys", keys.checked ? "on" : "off"));
}

addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-opens]");
  if (opener) document.getElementById(opener.dataset.opens).showModal();
});

if (isLive) keepFresh();
else if (document.querySelector("[data-retry]")) {  // of a failure: come back when it is over
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, RETRY));
    const isOver = await fetch(location.href, { cache: "no-store" }).then((response) => response.ok, () => false);
    if (isOver) location.reload();
  }
}
