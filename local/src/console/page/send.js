// Sends events: samples, bursts, races, and events that the person writes.

import { action, areValid, el, field, form, number } from "./dom.js";
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

const EMPTY_BATCH = "This batch is empty: there is no message to send.";

// Runs a request and says what was sent.
async function sendAndSay(path, body) {
  const sent = await post(path, body);
  if (sent) say(sent.messages ? `${count(sent.messages, "message")} sent.` : EMPTY_BATCH);
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
    form(field("Sample", choice),
      action("Send", () => sendAndSay(`/api/samples/${choice.value}`), { class: "primary", type: "submit" }),
      action("Send all", sendAll)),
    description);

  function describe() {
    const sample = all.find(({ name }) => name === choice.value);
    if (!sample) return;
    description.replaceChildren(...[
      el("ul", { class: "expectations" }, sample.records.map(([type, outcome]) => el("li", {}, `${type} → `, badge(outcome)))),
      !sample.records.length && el("p", { class: "quiet" }, EMPTY_BATCH),
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
  const run = () => areValid(events, duplicates, poison) && sendAndSay("/api/bursts",
    { events: +events.value, duplicates_percent: +duplicates.value, poison: +poison.value });
  return group("A burst of all types and shapes",
    form(field("Events", events), field("Duplicates %", duplicates), field("Not events", poison),
      action("Send the burst", run, { type: "submit" })),
    el("p", { class: "quiet" }, "Duplicates are copies of other events. “Not events” are bodies that the function " +
      "does not understand, so each becomes a dead letter."));
}

function race() {
  const races = number(5, 1, 100);
  return group("Races of an expiry and a payment",
    form(field("Races", races),
      action("Start the races", () => areValid(races) && sendAndSay("/api/races", { races: +races.value }), { type: "submit" })),
    el("p", { class: "quiet" }, "If the expiry is first, the payment becomes a dead letter, because a refund is due."));
}

function own() {
  const body = el("textarea", { rows: 8, spellcheck: "false", "aria-label": "Body of the event" });
  body.value = JSON.stringify(OWN_EVENT, null, 2);
  const copies = number(1, 1, 100);
  const send = () => areValid(copies) && sendAndSay("/api/messages", { body: body.value, copies: +copies.value });
  return group("An event of your own",
    el("details", {}, el("summary", {}, "Write an event"), body,
      el("p", { class: "quiet" }, "The hold is created from reservation_id, event_id and seat_ids in the body. They can also be in camelCase."),
      form(field("Copies", copies), action("Create the hold", createHold), action("Send the event", send, { type: "submit" }))));

  async function createHold() {
    const { hold, problem } = holdOf(body.value);
    if (problem) return say(`No hold was created: ${problem}.`, true);
    if (await post("/api/holds", hold)) say(`The hold ${hold.reservation_id} was created.`);
  }
}

// The hold, from the places in which the function finds the facts of an event, or why there is none.
function holdOf(body) {
  let event;
  try {
    event = JSON.parse(body);
  } catch (error) {
    return { problem: `the body is not JSON (${error.message})` };
  }
  const facts = event?.detail ?? { ...event?.payload, ...event };
  const hold = {
    reservation_id: facts.reservation_id ?? facts.reservationId,
    event_id: facts.event_id ?? facts.eventId,
    seat_ids: facts.seat_ids ?? facts.seatIds,
  };
  const missing = Object.keys(hold).find((name) => hold[name] == null);
  if (missing) return { problem: `the body has no ${missing}` };
  const isText = (value) => typeof value === "string";
  if (!isText(hold.reservation_id)) return { problem: "reservation_id is not a text" };
  if (!isText(hold.event_id)) return { problem: "event_id is not a text" };
  if (!Array.isArray(hold.seat_ids) || !hold.seat_ids.every(isText)) return { problem: "seat_ids is not a list of texts" };
  return { hold };
}
