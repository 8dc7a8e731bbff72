// Keeps `#live` fresh, and says when nobody can vouch for it. Nothing is shown that the server did not say:
// an event marks what is shown as out of date, and it is fetched again; one at a time, at most one a second.

import { age, confirm, confirmed, duration, observe, serverNow, timeOfDay } from "./clock.mjs";
import { seek, start } from "./events.mjs";
import { morph } from "./morph.mjs";

const FETCH_EVERY = 1000, FETCH_ANYWAY = 10_000, FETCH_LIMIT = 5000, RETRY = 2000;
const STALE = 8000, NOT_KNOWN = 25_000, RELOAD_EVERY = 10_000;
const live = document.getElementById("live"), banner = document.getElementById("banner");
const { base, events, version } = document.body.dataset;
const trusted = globalThis.trustedTypes?.createPolicy("millgate", { createHTML: (html) => html })
  ?? { createHTML: (html) => html };
const find = (selector, within = document) => [...within.querySelectorAll(selector)];
const setText = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

let isDirty = false, isFetching = false, fetchedAt = -Infinity, notBefore = 0, timer = null;
let isDoubted = false;  // nobody vouches for what is shown, however new it is
let isLoggedOut = false, blindSince = null, workers = 0, beatAt = -Infinity, hasDraft = false;

export function keepFresh() {
  know(document.getElementById("status-line").dataset);
  start(events, base, receive);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { if (isDirty) refetch(); tick(); } });
  addEventListener("pageshow", (event) => { if (event.persisted) doubt(); });
  addEventListener("input", (event) => { hasDraft ||= Boolean(event.target.closest("form[method=post]")); });
  addEventListener("submit", () => { hasDraft = false; });
  setInterval(tick, 1000);
  tick();
}

// ---- Fetching

export function refetch() {
  isDirty = true;
  if (timer || isFetching || document.hidden || isLoggedOut) return;
  const now = performance.now();
  timer = setTimeout(fetchFragment, Math.max(0, fetchedAt + FETCH_EVERY - now, notBefore - now));
}

async function fetchFragment() {
  [timer, isDirty, isFetching, fetchedAt] = [null, false, true, performance.now()];
  try {
    const headers = { "Millgate-Fragment": "1" }, signal = AbortSignal.timeout(FETCH_LIMIT);
    const response = await fetch(location.href, { headers, cache: "no-store", signal });
    const html = await response.text();
    if (response.status === 401) logOut();
    else if (response.status === 404) location.reload();  // deleted: the page that says so
    else if (response.ok) show(html);
    else fail(html);
  } catch {
    fail("");
  }
  isFetching = false;
  if (isDirty) refetch();
  tick();
}

function fail(html) {
  if (html.includes('data-error="DATABASE_')) blindSince ??= confirmed();
  isDirty = true;
  notBefore = performance.now() + RETRY;
}

function show(html) {
  const fresh = new DOMParser().parseFromString(trusted.createHTML(html), "text/html").body;
  const focused = document.activeElement;
  morph(live, fresh);
  if (focused.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });  // it was moved
  [isDoubted, blindSince] = [false, null];
  know(document.getElementById("status-line").dataset);
}

function know({ asOf, liveWorkers, version: answering }) {
  workers = Number(liveWorkers);
  observe(Date.parse(asOf));
  confirm(Date.parse(asOf));
  reloadAfterUpdate(answering);
}

function reloadAfterUpdate(answering) {
  // Not again and again while two versions answer.
  if (answering !== version && !hasDraft && performance.now() > RELOAD_EVERY) location.reload();
}

// ---- Events

function receive(message) {
  if (message.kind === "heartbeat") onHeartbeat(message);
  else if (message.kind === "begun" || (message.kind === "changed" && isConcerned(message))) refetch();
  else if (message.kind === "unavailable") {
    blindSince ??= Date.parse(message.since);
    doubt();
  } else if (message.kind === "unauthorized") logOut();
  else if (message.kind === "authorized" && isLoggedOut) {
    isLoggedOut = false;
    refetch();
  }
}

function isConcerned({ gateways, factories }) {
  const { gateway, factory } = live.dataset;
  return (!gateway || gateways.includes(gateway)) && (!factory || factories.includes(factory));
}

function onHeartbeat(heartbeat) {
  beatAt = performance.now();
  observe(Date.parse(heartbeat.as_of));
  reloadAfterUpdate(heartbeat.version);
  if (heartbeat.is_held_up || heartbeat.live_workers !== workers) refetch();
  // Unless something happened that is not shown yet, what is shown is true until now.
  if (!isDirty && !isFetching) confirm(Math.max(confirmed(), Date.parse(heartbeat.as_of)));
  tick();
}

function doubt() {
  isDoubted = true;
  refetch();
  tick();
}

function logOut() {
  isLoggedOut = true;
  doubt();
}

// ---- What is said, each second

function tick() {
  const time = age(), level = time > NOT_KNOWN ? 2 : time > STALE || isDoubted ? 1 : 0;
  const isFollowed = performance.now() - beatAt < STALE;
  if (level || performance.now() - fetchedAt > (isFollowed ? FETCH_ANYWAY : RETRY)) refetch();
  if (level && !document.hidden) seek();
  live.classList.toggle("stale", level === 1);
  live.classList.toggle("not-known", level === 2);
  tellTimes(time);
  if (level) takeBack(level, time);
  const reason = level ? reasonFor(time) : "";
  warn(reason, time);
  allowWrites(!level, reason);
}

function tellTimes(time) {
  const now = serverNow();
  setText(document.getElementById("as-of"), `True as of ${timeOfDay(confirmed())}, ${duration(time)} ago`);
  for (const each of find("time[data-age]")) setText(each, duration(now - Date.parse(each.dateTime)));
  for (const each of find("time[data-countdown]")) {
    const left = Date.parse(each.dateTime) - now;
    setText(each, left >= 1000 ? duration(left) : "0 s");
  }
}

// The next fragment puts all of this right again.
function takeBack(level, time) {
  for (const state of find(".state", live)) {
    const was = `was ${state.dataset.word}, ${duration(time)} ago`;
    setText(state.querySelector(".word"), level === 2 ? "not known here" : was);
  }
  if (level < 2) return;
  for (const number of find(".count, [data-number]", live)) setText(number, "?");
  for (const claim of find("[data-claim]", live)) setText(claim, "Not known here.");
}

function reasonFor(time) {
  if (isLoggedOut) return "You are logged out.";
  if (blindSince) return `Millgate cannot see its database since ${timeOfDay(blindSince)}.`;
  return time > STALE ? "Millgate does not answer." : "Asking Millgate again.";
}

function warn(reason, time) {
  if (!reason) {
    if (!banner.hidden) setText(document.getElementById("announce"), "Millgate answers again.");
    banner.hidden = true;
    return banner.replaceChildren();
  }
  banner.hidden = false;
  if (!banner.firstChild) {
    banner.append(document.createElement("span"), " ", document.createElement("span"));
    banner.lastChild.ariaHidden = "true";  // not to be read out each second
  }
  const [what, since] = banner.children;
  setText(what, `${reason} What you see was true at ${timeOfDay(confirmed())}.`);
  setText(since, `(${duration(time)} ago)`);
  if (isLoggedOut && !banner.querySelector("a")) banner.append(" ", loginLink());
}

function loginLink() {
  const link = document.createElement("a");
  link.className = "alert-link";
  link.textContent = "Log in";
  link.href = `${base}login?next=${encodeURIComponent(location.pathname + location.search)}`;
  if (hasDraft) link.target = "_blank";  // what was typed here stays here
  return link;
}

function allowWrites(isAllowed, reason) {
  for (const button of find("[data-writes], main form[method=post] button:not([type=button])")) {
    if (isAllowed && "titleBefore" in button.dataset) {
      button.disabled = false;
      button.title = button.dataset.titleBefore;
      delete button.dataset.titleBefore;
    } else if (!isAllowed && !button.disabled) {
      button.dataset.titleBefore = button.title;
      button.disabled = true;
      button.title = reason;
    }
  }
}
