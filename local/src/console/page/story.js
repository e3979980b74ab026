// The whole story of a reservation or of a message: all deliveries, all requests, and the state now.

import { action, el, setText } from "./dom.js";
import { advice, badge, waterfall } from "./record.js";
import { get } from "./server.js";
import { trace } from "./trace.js";
import { count, milliseconds, timeOfDay } from "./words.js";

// `back` is the link to the view that was shown before.
export function story(kind, id, back) {
  const facts = el("div");
  const deliveries = el("ol", { class: "deliveries" });
  const calls = el("ol", { class: "calls" });
  const [deliveriesTitle, callsTitle] = [el("h3"), el("h3")];
  // The number of the last record that is shown, and the box of each delivery.
  let shown = 0;
  const boxes = new Map();
  const section = el("section", { class: "panel", "aria-labelledby": "story-title" },
    el("p", {}, el("a", { href: back.href }, `← ${back.name}`)),
    el("h2", { id: "story-title" }, kind === "reservations" ? "Reservation " : "Message ", el("span", { class: "id" }, id)),
    facts, deliveriesTitle, deliveries, callsTitle, calls);
  return { section, render, interval: 1_000 };

  async function render() {
    const told = await get(`/api/stories/${kind}?id=${encodeURIComponent(id)}`);
    if (!told) return;
    facts.replaceChildren(...state(told));
    told.records.filter(({ number }) => number > shown).forEach(add);
    setText(deliveriesTitle, count(boxes.size, "delivery", "deliveries"));
    setText(callsTitle, told.calls.length ? `${count(told.calls.length, "request")}, as the services received them` : "");
    // What is open stays open: of a request only the reply changes.
    told.calls.forEach((one, index) => {
      const node = calls.children[index] ?? calls.appendChild(call(one));
      setText(node.querySelector(".reply"), one.reply);
    });
  }

  // Shows a record. A delivery has a second one if it was interrupted after the outcome of the first one was logged.
  function add(record) {
    const key = `${record.message_id} ${record.attempt}`;
    const box = boxes.get(key);
    if (box) box.append(...interruption(record));
    else boxes.set(key, deliveries.appendChild(delivery(record)));
    shown = record.number;
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
  return el("li", { class: "delivery" },
    el("p", { class: "title" }, el("time", {}, timeOfDay(record.time)), badge(record.outcome),
      el("span", { class: "type" }, record.event_type), `receive ${record.attempt}, ${milliseconds(record.duration_ms)}`,
      deadLetter(record), record.trace_id && show),
    el("p", { class: "reason" }, record.reason, record.reason_code && el("code", {}, record.reason_code)),
    advice(record),
    waterfall(record),
    el("p", { class: "quiet ids" }, [`message ${record.message_id}`,
      record.process && `process ${record.process}`, record.request_id && `invocation ${record.request_id}`]
      .filter(Boolean).join(", ")),
    place);
}

// The end of the process after it had logged the outcome of the delivery, and before it had responded.
function interruption(record) {
  return [el("p", { class: "title" }, el("time", {}, timeOfDay(record.time)), badge(record.outcome), deadLetter(record)),
    el("p", { class: "reason" }, record.reason)];
}

const deadLetter = ({ is_dead }) => is_dead && el("span", { class: "attention" }, "dead letter");

function call({ operation, path, body, reply }) {
  return el("li", {}, el("details", {},
    el("summary", {}, el("code", {}, operation), " → ", el("code", { class: "reply" }, reply)),
    el("p", { class: "ids" }, path),
    el("pre", {}, JSON.stringify(body, null, 2))));
}
