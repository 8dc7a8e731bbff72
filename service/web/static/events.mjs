// Follows the events of /api/events: one tab of a browser, the leader, does, and tells all others.
// Read with fetch: an EventSource would show neither a status nor that a server has fallen silent.

const SILENT = 8000, LEADER_LOST = 20_000, RETRY = 1000;
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));
let channel, name, url, receive;
let heardAt = 0;  // anything, of the leader
let waiting = null;  // to become the leader
let attempt = null, receivedAt = 0;  // of the leader: its stream, and when it last said anything
let logIn = null;

// Calls `onMessage` with {kind: "begun"}, {kind: "changed", gateways, factories}, {kind: "heartbeat", as_of, …},
// {kind: "unavailable", since}, {kind: "unauthorized"}, {kind: "authorized"}.
export function start(path, base, onMessage) {
  [name, url, receive, heardAt] = [`millgate ${base}`, path, onMessage, performance.now()];
  channel = new BroadcastChannel(name);
  channel.addEventListener("message", ({ data }) => hear(data));
  // A page that shows something: whoever was logged out need not be any more.
  channel.postMessage({ kind: "authorized" });
  if (navigator.locks) lead();
  else followWhileVisible();
}

// Call it while nothing comes: the leader's tab may be throttled or frozen.
export function seek() {
  if (attempt) return giveUpSilent();
  channel.postMessage({ kind: "seek" });
  if (performance.now() - heardAt > LEADER_LOST && navigator.locks) {
    heardAt = performance.now();
    waiting?.abort();
    lead({ steal: true });
  }
}

function hear(message) {
  heardAt = performance.now();
  if (message.kind === "seek") {
    if (attempt) channel.postMessage({ kind: "alive" });
    giveUpSilent();
  } else {
    if (message.kind === "authorized") logIn?.();
    receive(message);
  }
}

function tell(message) {
  channel.postMessage(message);
  receive(message);
}

function giveUpSilent() {
  if (attempt && !logIn && performance.now() - receivedAt > SILENT) attempt.abort();
}

async function lead(options) {
  const term = waiting = new AbortController();
  try {
    await navigator.locks.request(name, options ?? { signal: term.signal }, () => follow(term.signal));
  } catch { /* given up, or taken by another tab */ }
  term.abort();
  await pause(RETRY);
  if (waiting === term) lead();
}

// Browsers have no locks over plain HTTP to another machine. Few tabs are looked at, so each of these follows.
async function followWhileVisible() {
  for (;;) {
    while (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    const term = new AbortController(), stop = () => document.hidden && term.abort();
    document.addEventListener("visibilitychange", stop);
    await follow(term.signal);
    document.removeEventListener("visibilitychange", stop);
  }
}

async function follow(ended) {
  while (!ended.aborted) {
    attempt = new AbortController();
    receivedAt = performance.now();
    try {
      const signal = AbortSignal.any([ended, attempt.signal]);
      const response = await fetch(url, { headers: { Accept: "text/event-stream" }, cache: "no-store", signal });
      if (response.ok) await read(response.body);
      else if (response.status === 401) {
        tell({ kind: "unauthorized" });
        await new Promise((resolve) => {
          logIn = resolve;
          ended.addEventListener("abort", resolve);
        });
        logIn = null;
      }
    } catch { /* the next attempt follows */ }
    channel.postMessage({ kind: "alive" });
    await pause(RETRY * (1 + Math.random()));
  }
  attempt = null;
}

async function read(stream) {
  tell({ kind: "begun" });
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    receivedAt = performance.now();
    const texts = (rest + value).split("\n\n");
    rest = texts.pop();
    publish(texts.map(parse).filter(({ kind }) => kind));
  }
}

function parse(text) {
  const fields = Object.fromEntries(text.split("\n").map((line) => line.split(/: (.*)/)));
  return { kind: fields.event, data: fields.data && JSON.parse(fields.data) };
}

// Of many transitions at once, one message.
function publish(events) {
  const gateways = events.filter(({ kind }) => kind === "transition").map(({ data }) => data.gateway);
  const all = (field) => [...new Set(gateways.map((gateway) => gateway[field]))];
  if (gateways.length) tell({ kind: "changed", gateways: all("id"), factories: all("factory_id") });
  for (const { kind, data } of events) {
    if (kind === "reset") tell({ kind: "begun" });
    else if (kind !== "transition") tell({ kind, ...data });
  }
}
