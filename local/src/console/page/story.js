// The whole story of a reservation or of a message: all deliveries, all calls, and the state now.

import { action, el, setText } from "./dom.js";
import { badge, waterfall } from "./record.js";
import { get } from "./server.js";
import { trace } from "./trace.js";
import { count, milliseconds, timeOfDay } from "./words.js";

export function story(kind, id) {
  const facts = el("div");
  const deliveries = el("ol", { class: "deliveries" });
  const calls = el("ol", { class: "calls" });
  const [deliveriesTitle, callsTitle] = [el("h3"), el("h3")];
  const section = el("section", { class: "panel", "aria-labelledby": "story-title" },
    el("p", {}, el("a", { href: "#/" }, "← Live")),
    el("h2", { id: "story-title" }, kind === "reservations" ? "Reservation " : "Message ", el("span", { class: "id" }, id)),
    facts, deliveriesTitle, deliveries, callsTitle, calls);
  return { section, render, interval: 1_000 };

  async function render() {
    const told = await get(`/api/stories/${kind}?id=${encodeURIComponent(id)}`);
    if (!told) return;
    facts.replaceChildren(...state(told));
    setText(deliveriesTitle, count(told.records.length, "delivery", "deliveries"));
    setText(callsTitle, told.calls.length ? `${count(told.calls.length, "call")}, as the services received them` : "");
    // What is open stays open: a delivery never changes, and of a call only its reply.
    const shown = deliveries.lastElementChild?.dataset.number ?? 0;
    deliveries.append(...told.records.filter(({ number }) => number > shown).map(delivery));
    told.calls.forEach((one, index) => {
      const node = calls.children[index] ?? calls.appendChild(call(one));
      setText(node.querySelector(".reply"), one.reply);
    });
  }
}

function state({ reservation, seats, records }) {
  return [
    reservation && el("dl", { class: "facts" },
      fact("Status", el("span", { class: `status ${reservation.status}` }, reservation.status)),
      fact("Ticketed event", reservation.event_id),
      fact("Seats", el("span", { class: "seats" }, Object.entries(seats).slice(0, 200).map(([seat, state]) =>
        el("span", { class: `seat ${state}` }, `${seat} ${state}`)))),
      reservation.payment_intent_id && fact("Payment", reservation.payment_intent_id),
      reservation.reason && fact("Reason", reservation.reason)),
    !reservation && !records.length && el("p", { class: "quiet" }, "Nothing is known about it (any more)."),
  ].filter(Boolean);
}

function fact(name, value) {
  return [el("dt", {}, name), el("dd", {}, value)];
}

function delivery(record) {
  const place = el("div", {});
  const show = action("Trace", async () => place.replaceChildren(await trace(record.trace_id)));
  return el("li", { class: "delivery", "data-number": record.number },
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
    el("summary", {}, el("code", {}, operation), " → ", el("code", { class: "reply" }, reply)),
    el("p", { class: "ids" }, path),
    el("pre", {}, JSON.stringify(body, null, 2))));
}
