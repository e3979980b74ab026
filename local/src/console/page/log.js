// The latest log lines of the function and of the event source mapping.

import { el, field, setText } from "./dom.js";
import { get } from "./server.js";
import { count, timeOfDay } from "./words.js";

// Shown in their own columns.
const COLUMNS = ["timestamp", "level", "message"];
// The largest number of lines that the server sends (local/src/console/reads.rs).
const MAX_LINES = 300;

export function log() {
  const text = el("input", { type: "search", placeholder: "message id, WARN, breaker", on: { input: () => render() } });
  const pause = el("input", { type: "checkbox" });
  const list = el("ol", { class: "log", "aria-label": "Log lines, newest first" });
  const note = el("p", { class: "quiet" });
  let shown = { filter: null, number: 0 };
  const section = el("section", { class: "panel", "aria-labelledby": "log-title" },
    el("h2", { id: "log-title" }, "Log"),
    el("div", { class: "line" }, field("Contains", text, { class: "field grow" }), el("label", { class: "check" }, pause, "Pause")), note, list);
  return { section, render, interval: 700 };

  async function render() {
    if (pause.checked) return;
    const filter = text.value.trim();
    const lines = await get(`/api/log?text=${encodeURIComponent(filter)}`);
    // A later request for another text may have been answered already.
    if (!lines || filter !== text.value.trim()) return;
    if (filter !== shown.filter) {
      list.replaceChildren();
      shown = { filter, number: 0 };
    }
    // The rows that stay are kept, so that a line that is open stays open.
    list.prepend(...lines.filter(({ number }) => number > shown.number).reverse().map(row));
    while (list.childElementCount > lines.length) list.lastElementChild.remove();
    shown.number = lines.at(-1)?.number ?? 0;
    setText(note, noteOn(lines.length));
  }
}

function noteOn(number) {
  if (number < MAX_LINES) return number ? `Latest first: ${count(number, "matching line")}.` : "No line matches.";
  return `Latest first. The filter searches the latest 10,000 lines, and shows at most ${MAX_LINES}.`;
}

function row({ process, line }) {
  const fields = Object.entries(line).filter(([name]) => !COLUMNS.includes(name));
  return el("li", { class: line.level },
    el("time", {}, timeOfDay(line.timestamp)), el("span", { class: "level" }, line.level ?? ""),
    el("details", {},
      el("summary", {}, el("strong", {}, line.message ?? ""), " ",
        el("span", { class: "quiet" }, brief(line) || (process ? `process ${process}` : "event source mapping"))),
      el("dl", { class: "attributes" }, fields.map(([name, value]) => [el("dt", {}, name), el("dd", {}, typeof value === "object" ? JSON.stringify(value) : String(value))]))));
}

function brief(line) {
  const names = ["outcome", "service", "method", "status", "result", "reason_code", "reservation_id"];
  return names.filter((name) => line[name] != null).map((name) => line[name]).join(" · ");
}
