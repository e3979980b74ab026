// The whole story of a reservation or of a message: all deliveries, all calls, and the state now.

import { action, el } from "./dom.js";
import { badge, waterfall } from "./record.js";
import { get } from "./server.js";
import { trace } from "./trace.js";
import { count, milliseconds, timeOfDay } from "./words.js";

export function story(kind, id) {
  const body = el("div", {});
  const section = el("section", { class: "panel", "aria-labelledby": "story-title" },
    el("p", {}, el("a", { href: "#/" }, "← Live")),
    el("h2", { id: "story-title" }, kind === "reservations" ? "Reservation " : "Message ", el("span", { class: "id" }, id)),
    body);
  let known = null;
  return { section, render, interval: 1_000 };

  async function render() {
    const told = await get(`/api/stories/${kind}/${encodeURIComponent(id)}`);
    const key = JSON.stringify(told);
    if (!told || key === known) return;
    known = key;
    body.replaceChildren(...parts(told));
  }
}

function parts({ reservation, seats, records, calls }) {
  return [
    reservation && el("dl", { class: "facts" },
      fact("Status", el("span", { class: `status ${reservation.status}` }, reservation.status)),
      fact("Ticketed event", reservation.event_id),
      fact("Seats", el("span", { class: "seats" }, Object.entries(seats).slice(0, 200).map(([seat, state]) =>
        el("span", { class: `seat ${state}` }, `${seat} ${state}`)))),
      reservation.payment_intent_id && fact("Payment", reservation.payment_intent_id),
      reservation.reason && fact("Reason", reservation.reason)),
    !reservation && !records.length && el("p", { class: "quiet" }, "Nothing is known about it (any more)."),
    el("h3", {}, count(records.length, "delivery", "deliveries")),
    el("ol", { class: "deliveries" }, records.map(delivery)),
    calls.length > 0 && el("h3", {}, `${count(calls.length, "call")}, as the services received them`),
    calls.length > 0 && el("ol", { class: "calls" }, calls.map(call)),
  ].filter(Boolean);
}

function fact(name, value) {
  return [el("dt", {}, name), el("dd", {}, value)];
}

function delivery(record) {
  const place = el("div", {});
  const show = action("Trace", async () => place.replaceChildren(await trace(record.trace_id)));
  return el("li", { class: "delivery" },
    el("p", { class: "title" }, el("time", {}, timeOfDay(record.time)), badge(record.outcome),
      el("span", { class: "type" }, record.event_type), `receive ${record.attempt}, ${milliseconds(record.duration_ms)}`,
      record.is_dead && el("span", { class: "attention" }, "dead letter"), record.trace_id && show),
    el("p", { class: "reason" }, record.reason, record.reason_code && el("code", {}, record.reason_code)),
    record.advice && el("p", { class: "advice" }, record.advice),
    waterfall(record),
    el("p", { class: "quiet ids" }, `message ${record.message_id}, process ${record.process}, invocation ${record.request_id}`),
    place);
}

function call({ operation, path, body, reply }) {
  return el("li", {}, el("details", {},
    el("summary", {}, el("code", {}, operation), " → ", el("code", {}, reply)),
    el("p", { class: "ids" }, path),
    el("pre", {}, JSON.stringify(body, null, 2))));
}
