// One record: its row in the list, the attempts of its calls as a waterfall, and its details in a story.

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
        advice(record)),
      el("span", { class: "attempt", title: "how often the message was received" }, `receive ${record.attempt}`),
      el("span", { class: "duration" }, milliseconds(record.duration_ms)),
      bars(record)));
}

// What a person must do. Only dead letters have advice: the queue delivers all other returned records again.
export function advice({ advice: text }) {
  return text && el("span", { class: "advice" }, text.split("`").map((part, index) => (index % 2 ? command(part) : part)));
}

// A command, which is between backticks in the advice. It is broken only between its words, so that it can be read.
function command(text) {
  return el("code", {}, text.split(" ").flatMap((word) => [" ", el("span", { class: "word" }, word)]).slice(1));
}

function expectation({ expected, outcome: actual }) {
  if (!expected) return null;
  return expected === actual ? el("span", { class: "expected" }, "as expected")
    : el("span", { class: "unexpected" }, `the sample expects ${outcome(expected)}`);
}

const kind = ({ result }) => (result === "success" ? "ok" : result === "conflict" ? "conflict" : "bad");

function position(attempt, total) {
  const left = Math.min(98, (attempt.start_ms / total) * 100);
  return { left, width: Math.max(2, Math.min(100 - left, (attempt.duration_ms / total) * 100)) };
}

function bar(attempt, total) {
  const { service, method, status } = attempt;
  const node = el("i", { class: `${kind(attempt)} ${service}`, title: `${method}: ${status}` });
  const { left, width } = position(attempt, total);
  node.style.left = `${left}%`;
  node.style.width = `${width}%`;
  return node;
}

// The attempts of calls as bars without text, for the list.
function bars({ call_attempts: attempts, duration_ms }) {
  const total = Math.max(duration_ms, 0.001);
  return el("span", { class: "bars", role: "img", "aria-label": count(attempts.length, "attempt") },
    attempts.map((attempt) => bar(attempt, total)));
}

// The attempts of calls as a table: the waterfall.
export function waterfall({ call_attempts: attempts, duration_ms }) {
  if (!attempts.length) return el("p", { class: "quiet" }, "No attempt of a call has ended.");
  const total = Math.max(duration_ms, 0.001);
  return el("table", { class: "waterfall" },
    el("thead", {}, el("tr", {}, ["Service", "Request", "Reply", "Result", "Time", ""].map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, attempts.map((attempt) => el("tr", { class: kind(attempt) },
      el("td", {}, SERVICES[attempt.service] ?? attempt.service),
      el("td", {}, attempt.method),
      el("td", {}, attempt.status),
      el("td", {}, attempt.result),
      el("td", { class: "time" }, milliseconds(attempt.duration_ms)),
      el("td", { class: "span" }, el("span", { class: "bars" }, bar(attempt, total)))))));
}
