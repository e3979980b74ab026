// Sends events: samples, bursts, races, and events that the person writes.

import { action, el, field, setText } from "./dom.js";
import { badge } from "./record.js";
import { get, post, say } from "./server.js";
import { count } from "./words.js";

const OWN_EVENT = {
  type: "payment.approved",
  detail: { reservation_id: "rsv_mine", event_id: "evt_mine", seat_ids: ["Z-1", "Z-2"], payment_intent_id: "pay_mine" },
};

export function send() {
  return el("section", { class: "panel", "aria-labelledby": "send-title" },
    el("h2", { id: "send-title" }, "Send events"), samples(), burst(), race(), own());
}

const number = (value, min, max) => el("input", { type: "number", value, min, max, required: true });

// Runs a request and says what was sent.
async function sendAndSay(path, body) {
  const sent = await post(path, body);
  if (sent) say(`${count(sent.messages, "message")} sent.`);
  return sent;
}

function group(title, ...content) {
  return el("fieldset", {}, el("legend", {}, title), ...content);
}

function samples() {
  const choice = el("select", { id: "sample", on: { change: describe } });
  const description = el("div", { class: "description" });
  let all = [];
  get("/api/samples").then((loaded) => {
    all = loaded ?? [];
    choice.append(...all.map(({ name }) => el("option", { value: name }, name)));
    choice.value = "eventbridge-reservation-expired";
    describe();
  });
  return group("A sample event, with its holds",
    el("div", { class: "line" }, field("Sample", choice),
      action("Send", () => sendAndSay(`/api/samples/${choice.value}`), { class: "primary" }),
      action("Send all", sendAll)),
    description);

  function describe() {
    const sample = all.find(({ name }) => name === choice.value);
    if (!sample) return;
    description.replaceChildren(...[
      el("ul", { class: "expectations" }, sample.records.map(([type, outcome]) => el("li", {}, `${type} → `, badge(outcome)))),
      sample.is_for_other_queue && el("p", { class: "quiet" }, "The outcomes are those on a FIFO queue. The queue here is a standard queue."),
      el("details", {}, el("summary", {}, "Bodies"), sample.bodies.map((body) => el("pre", {}, body))),
    ].filter(Boolean));
  }

  async function sendAll() {
    let messages = 0;
    for (const { name } of all) messages += (await post(`/api/samples/${name}`))?.messages ?? 0;
    say(`${count(messages, "message")} of ${count(all.length, "sample")} sent.`);
  }
}

function burst() {
  const [events, duplicates, poison] = [number(100, 0, 20_000), number(20, 0, 90), number(3, 0, 1_000)];
  const run = () => sendAndSay("/api/bursts",
    { events: +events.value, duplicates_percent: +duplicates.value, poison: +poison.value });
  return group("A burst of all types and shapes",
    el("div", { class: "line" }, field("Events", events), field("Duplicates %", duplicates),
      field("Not events", poison), action("Send the burst", run)));
}

function race() {
  const races = number(5, 1, 100);
  return group("Races of an expiry and a payment",
    el("div", { class: "line" }, field("Races", races),
      action("Start the races", () => sendAndSay("/api/races", { races: +races.value }))));
}

function own() {
  const body = el("textarea", { rows: 8, spellcheck: "false", "aria-label": "Body of the event" });
  body.value = JSON.stringify(OWN_EVENT, null, 2);
  const copies = number(1, 1, 100);
  const hint = el("p", { class: "quiet" }, "The hold is created from reservation_id, event_id and seat_ids in the body.");
  return group("An event of your own",
    el("details", {}, el("summary", {}, "Write an event"), body, hint,
      el("div", { class: "line" }, field("Copies", copies), action("Create the hold", createHold),
        action("Send the event", () => sendAndSay("/api/messages", { body: body.value, copies: +copies.value })))));

  async function createHold() {
    const hold = holdOf(body.value);
    if (!hold) return setText(hint, "The body has no detail with reservation_id, event_id and seat_ids.");
    if (await post("/api/holds", hold)) say(`The hold ${hold.reservation_id} was created.`);
  }
}

function holdOf(body) {
  try {
    const event = JSON.parse(body);
    const { reservation_id, event_id, seat_ids } = event.detail ?? event.payload ?? event;
    return reservation_id && event_id && seat_ids ? { reservation_id, event_id, seat_ids } : null;
  } catch {
    return null;
  }
}
