// One record: its row in the list, its calls as a waterfall, and its details in a story.

import { el } from "./dom.js";
import { OUTCOMES, SERVICES, count, milliseconds, outcome, timeOfDay } from "./words.js";

export function badge(name) {
  return el("span", { class: `badge ${name}`, title: OUTCOMES[name] ?? "" }, outcome(name));
}

// Where the story of the record is.
export function storyLink({ reservation_id, message_id }) {
  return reservation_id ? `#/reservation/${encodeURIComponent(reservation_id)}`
    : `#/message/${encodeURIComponent(message_id)}`;
}

export function row(record) {
  return el("li", { class: "record", "data-number": record.number },
    el("a", { href: storyLink(record) },
      el("time", { datetime: record.time }, timeOfDay(record.time)),
      badge(record.outcome),
      el("span", { class: "type" }, record.event_type),
      el("span", { class: "id" }, record.reservation_id ?? record.message_id),
      el("span", { class: "reason" }, record.reason, expectation(record),
        record.advice && el("span", { class: "advice" }, record.advice)),
      el("span", { class: "attempt", title: "how often the message was received" }, `receive ${record.attempt}`),
      el("span", { class: "duration" }, milliseconds(record.duration_ms)),
      bars(record)));
}

function expectation({ expected, outcome: actual }) {
  if (!expected) return null;
  return expected === actual ? el("span", { class: "expected" }, "as expected")
    : el("span", { class: "unexpected" }, `the sample expects ${outcome(expected)}`);
}

const kind = ({ result }) => (result === "success" ? "ok" : result === "conflict" ? "conflict" : "bad");

function position(call, total) {
  const left = Math.min(98, (call.start_ms / total) * 100);
  return { left, width: Math.max(2, Math.min(100 - left, (call.duration_ms / total) * 100)) };
}

function bar(call, total) {
  const node = el("i", { class: `${kind(call)} ${call.service}`, title: `${call.method}: ${call.status}` });
  const { left, width } = position(call, total);
  node.style.left = `${left}%`;
  node.style.width = `${width}%`;
  return node;
}

// The calls as bars without text, for the list.
function bars({ calls, duration_ms }) {
  const total = Math.max(duration_ms, 0.001);
  return el("span", { class: "bars", role: "img", "aria-label": count(calls.length, "call") }, calls.map((call) => bar(call, total)));
}

// The calls as a table: the waterfall.
export function waterfall({ calls, duration_ms }) {
  if (!calls.length) return el("p", { class: "quiet" }, "No calls.");
  const total = Math.max(duration_ms, 0.001);
  return el("table", { class: "waterfall" },
    el("thead", {}, el("tr", {}, ["Service", "Call", "Reply", "Result", "Time", ""].map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, calls.map((call) => el("tr", { class: kind(call) },
      el("td", {}, SERVICES[call.service] ?? call.service),
      el("td", {}, call.method),
      el("td", {}, call.status),
      el("td", {}, call.result),
      el("td", { class: "time" }, milliseconds(call.duration_ms)),
      el("td", { class: "span" }, el("span", { class: "bars" }, bar(call, total)))))));
}
