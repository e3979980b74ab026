// Starts the page: shows the view that the address names, and keeps it current.

import { breaking } from "./break.js";
import { deadLetters } from "./dead-letters.js";
import { el, setText } from "./dom.js";
import { log } from "./log.js";
import { path } from "./path.js";
import { records } from "./records.js";
import { reservations } from "./reservations.js";
import { send } from "./send.js";
import { story } from "./story.js";
import { connect, state, subscribe } from "./stream.js";

const content = document.getElementById("content");
const links = document.querySelectorAll("header nav a");
const connection = document.getElementById("connection");
const stale = document.getElementById("stale");
const deadCount = document.getElementById("dead-count");
let endView = () => {};
// Kept, so that what was entered there is still there when a person returns to it.
let liveView = null;
let isLive = true;
// The link to the view that was shown last, to which a story leads back.
let back = { href: "#/", name: "Live" };
let run = null;
let staleTimer = null;

// A view has a `section`, and a function `render` that is called after each change. A view with an `interval` asks the
// server itself, and is rendered at most once in this number of milliseconds.
function viewOf(address) {
  const [name, id] = address.replace(/^#?\/?/, "").split("/");
  switch (name) {
    case "reservations": return reservations();
    case "dead-letters": return deadLetters();
    case "log": return log();
    case "reservation": return story("reservations", decoded(id), back);
    case "message": return story("messages", decoded(id), back);
    default: return (liveView ??= live());
  }
}

// A person can write anything into the address.
function decoded(id = "") {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

function live() {
  const parts = [path(), breaking(), records()];
  const [picture, breakThings, list] = parts;
  return {
    section: el("div", { class: "live" }, picture.section,
      el("div", { class: "columns with-side" }, el("div", { class: "side" }, send(), breakThings.section), list.section)),
    render: (state) => parts.forEach((part) => part.render(state)),
  };
}

function show() {
  endView();
  const view = viewOf(location.hash);
  content.replaceChildren(view.section);
  const end = subscribe(view.interval ? atMostEvery(view.interval, view.render) : view.render);
  // The numbers of the last seconds change although nothing happens.
  const ticks = view.interval ? null : setInterval(() => state.overview && view.render(state), 1_000);
  endView = () => {
    end();
    clearInterval(ticks);
  };
  isLive = !view.interval;
  for (const link of links) {
    const isCurrent = link.hash === (location.hash || "#/");
    if (isCurrent) {
      link.setAttribute("aria-current", "page");
      back = { href: link.hash, name: link.firstChild.textContent.trim() };
    } else {
      link.removeAttribute("aria-current");
    }
  }
}

// Calls `render` at once, and after further changes when the time is up and the last call has ended.
function atMostEvery(interval, render) {
  let isRunning = false;
  let isDue = false;
  return async function run() {
    isDue = true;
    if (isRunning) return;
    isRunning = true;
    while (isDue) {
      isDue = false;
      await render();
      await new Promise((resolve) => setTimeout(resolve, interval));
    }
    isRunning = false;
  };
}

subscribe(({ overview, isConnected, run: current }) => {
  // What the other views show is of the earlier run. The live view replaces it by itself.
  if (run !== null && run !== current && !isLive) show();
  run = current;
  setText(connection, isConnected ? "live" : "connecting …");
  connection.classList.toggle("is-live", isConnected);
  clearTimeout(staleTimer);
  if (isConnected) stale.hidden = true;
  // A page that was in the background and becomes visible connects within this time.
  else staleTimer = setTimeout(() => (stale.hidden = false), 500);
  deadCount.hidden = overview.queue.dead === 0;
  setText(deadCount, overview.queue.dead);
});
// The address names the view, so the link must not change it.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  content.focus();
});
addEventListener("hashchange", () => {
  show();
  content.focus({ preventScroll: true });
  scrollTo(0, 0);
});
show();
connect();
