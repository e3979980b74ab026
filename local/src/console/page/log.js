// The latest log lines of the function and of the event source mapping.

import { el, field, setText } from "./dom.js";
import { get } from "./server.js";
import { timeOfDay } from "./words.js";

// Shown in their own columns.
const COLUMNS = ["timestamp", "level", "message"];

export function log() {
  const text = el("input", { type: "search", placeholder: "message id, WARN, breaker", on: { input: () => render() } });
  const pause = el("input", { type: "checkbox" });
  const list = el("ol", { class: "log", "aria-label": "Log lines, newest first" });
  const note = el("p", { class: "quiet" });
  let latest = null;
  const section = el("section", { class: "panel", "aria-labelledby": "log-title" },
    el("h2", { id: "log-title" }, "Log"),
    el("div", { class: "line" }, field("Contains", text, { class: "field grow" }), el("label", { class: "check" }, pause, "Pause")), note, list);
  return { section, render, interval: 700 };

  async function render() {
    if (pause.checked) return;
    const lines = await get(`/api/log?text=${encodeURIComponent(text.value.trim())}`);
    const key = `${text.value} ${lines?.at(-1)?.number}`;
    if (!lines || key === latest) return;
    latest = key;
    setText(note, lines.length ? `The latest ${lines.length} lines that match, newest first.` : "No line matches.");
    list.replaceChildren(...lines.reverse().map(row));
  }
}

function row({ process, line }) {
  const fields = Object.entries(line).filter(([name]) => !COLUMNS.includes(name));
  return el("li", { class: line.level },
    el("time", {}, timeOfDay(line.timestamp)), el("span", { class: "level" }, line.level ?? ""),
    el("details", {},
      el("summary", {}, el("strong", {}, line.message ?? ""), " ",
        el("span", { class: "quiet" }, brief(line) || (process ? `process ${process}` : "event source mapping"))),
      el("dl", { class: "attributes" }, fields.map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]))));
}

function brief(line) {
  const names = ["outcome", "service", "method", "status", "result", "reason_code", "reservation_id"];
  return names.filter((name) => line[name] != null).map((name) => line[name]).join(" · ");
}
