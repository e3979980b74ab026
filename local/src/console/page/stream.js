// The stream of changes. Keeps the latest records, and calls the subscribers at most once per animation frame.

import { say } from "./server.js";

const MAX_RECORDS = 2_000;

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
};

const subscribers = new Set();
let run = null;
let isScheduled = false;

// Calls `render` now, if there is something to show, and after each change. Returns a function that ends this.
export function subscribe(render) {
  subscribers.add(render);
  if (state.overview) render(state);
  return () => subscribers.delete(render);
}

export function connect() {
  const source = new EventSource("/api/stream");
  source.onmessage = (event) => {
    accept(JSON.parse(event.data));
    setConnected(true);
  };
  source.onerror = () => {
    setConnected(false);
    // The browser connects again by itself, except after a reply that is not a stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1_000);
  };
}

function accept(update) {
  if (run !== null && run !== update.run) say("The pipeline was started again. What was shown before is gone.");
  run = update.run;
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
