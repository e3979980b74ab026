// The stream of changes. Keeps the latest records, and calls the subscribers at most once per animation frame.

import { say } from "./server.js";

const MAX_RECORDS = 2_000;
// The server sends something every 5 s.
const SILENCE = 12_000;

export const state = {
  // Newest last.
  records: [],
  // The number of the latest record, which is the number of records since the start.
  latest: 0,
  // Changes when the records were replaced.
  generation: 0,
  overview: null,
  // How each service was made to behave.
  services: {},
  isConnected: false,
  // Differs each time that the server is started.
  run: null,
};

const subscribers = new Set();
let source = null;
let heard = 0;
let isScheduled = false;

// Calls `render` now, if there is something to show, and after each change. Returns a function that ends this.
export function subscribe(render) {
  subscribers.add(render);
  if (state.overview) render(state);
  return () => subscribers.delete(render);
}

// Keeps the page connected while it can be seen. A browser opens only six connections to a server, so that pages in the
// background must not have one.
export function connect() {
  document.addEventListener("visibilitychange", check);
  setInterval(check, 1_000);
  check();
}

function check() {
  if (document.hidden) close();
  // A server that was stopped with Ctrl-Z sends nothing, and no error occurs. After a reply that is no stream, the browser
  // does not connect again by itself.
  else if (!source || source.readyState === EventSource.CLOSED || Date.now() - heard > SILENCE) open();
}

function open() {
  close();
  heard = Date.now();
  source = new EventSource("/api/stream");
  source.onopen = () => (heard = Date.now());
  source.onmessage = (event) => {
    heard = Date.now();
    accept(JSON.parse(event.data));
    setConnected(true);
  };
  source.addEventListener("alive", () => (heard = Date.now()));
  source.onerror = () => setConnected(false);
}

function close() {
  source?.close();
  source = null;
  setConnected(false);
}

function accept(update) {
  if (state.run !== null && state.run !== update.run) say("The pipeline was started again. What was shown before is gone.");
  state.run = update.run;
  if (update.is_snapshot) {
    state.records = [];
    state.latest = 0;
    state.generation += 1;
  }
  // A number that the page has already is not counted twice.
  const added = update.records.filter((record) => record.number > state.latest);
  state.records = state.records.concat(added).slice(-MAX_RECORDS);
  state.latest = added.at(-1)?.number ?? state.latest;
  state.overview = update.overview;
  state.services = update.services;
  schedule();
}

function setConnected(isConnected) {
  if (state.isConnected !== isConnected) {
    state.isConnected = isConnected;
    schedule();
  }
}

function schedule() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    if (state.overview) subscribers.forEach((render) => render(state));
  });
}
