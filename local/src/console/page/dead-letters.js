// The messages of the dead-letter queue: why they are there, what to do, and the two things that can be done here.

import { action, confirmed, el, removeRows, setText } from "./dom.js";
import { storyLink } from "./record.js";
import { get, post, say } from "./server.js";
import { count } from "./words.js";

export function deadLetters() {
  const list = el("ol", { class: "letters" });
  const summary = el("p", { class: "quiet" });
  const progress = el("p", { class: "quiet", hidden: true },
    "Asking dead-letters list --what-if … The first time, the tool is built, which takes some minutes.");
  let total = 0;
  let refunds = 0;
  let known = null;
  const title = el("h2", { id: "letters-title", tabindex: -1 }, "Dead letters");
  const section = el("section", { class: "panel", "aria-labelledby": "letters-title" },
    title,
    el("p", {}, "Messages whose receives are used up. Remove the cause first. Then redrive or delete each message, as its advice says."),
    el("div", { class: "line" },
      action("What if?", predict, { title: "asks the operator's tool dead-letters what a redrive would do now" }),
      confirmed("Redrive all", () => `Really redrive ${count(total, "message")}? ${refundsDue(refunds)}`,
        () => run("redrive", null), { class: null }),
      confirmed("Delete all", () => `Really delete ${count(total, "message")}?`, () => run("delete", null))),
    progress, summary, list);
  return { section, render, interval: 1_500 };

  async function render() {
    const letters = await get("/api/dead-letters");
    if (!letters) return;
    total = letters.total;
    refunds = letters.letters.filter(({ record }) => record?.reason_code === "paid_but_expired").length;
    setText(summary, total > letters.letters.length ? `${letters.letters.length} of ${total}` : count(total, "message"));
    const key = JSON.stringify(letters);
    // A row is kept while its message is there, so that no button disappears while it is pressed.
    if (key === known) return;
    known = key;
    const rows = new Map(Array.from(list.children, (row) => [row.dataset.id, row]));
    for (const one of letters.letters) {
      if (!rows.delete(one.message_id)) list.append(letter(one, run));
    }
    removeRows(rows.values(), title);
  }

  async function predict() {
    progress.hidden = false;
    const predictions = await get("/api/dead-letters/what-if");
    progress.hidden = true;
    if (!predictions) return;
    say("The predictions are shown.");
    const rows = new Map(Array.from(list.children, (row) => [row.dataset.id, row]));
    for (const { message_id, what_if, what_if_why } of predictions) {
      const place = rows.get(message_id)?.querySelector(".prediction");
      if (place) setText(place, `If it is redriven now: ${what_if}. ${what_if_why}`);
    }
  }

  async function run(what, message_ids) {
    const number = await post(`/api/dead-letters/${what}`, { message_ids });
    if (number !== null) say(`${count(number, "message")} ${what === "redrive" ? "moved back to the queue" : "deleted"}.`);
    await render();
  }
}

// A redrive does not complete a reservation whose payment must be refunded.
function refundsDue(number) {
  if (!number) return "";
  return number === 1 ? "1 needs a refund and not a redrive." : `${number} need a refund and not a redrive.`;
}

function letter({ message_id, body, receives, record }, run) {
  return el("li", { class: "letter", "data-id": message_id },
    el("p", { class: "title" },
      el("code", { class: "reason-code" }, record?.reason_code ?? "unknown reason"),
      el("a", { class: "id", href: storyLink(record ?? { message_id }) }, record?.reservation_id ?? message_id),
      el("span", { class: "quiet" }, `type ${record?.event_type ?? "unknown"}, received ${record?.attempt ?? receives} times`)),
    el("p", { class: "reason" }, record?.reason ?? "Its last delivery is not known any more."),
    record?.advice && el("p", { class: "advice" }, record.advice),
    el("p", { class: "prediction" }),
    el("details", {}, el("summary", {}, "Body"), el("pre", {}, body)),
    el("div", { class: "line" },
      action("Redrive", () => run("redrive", [message_id])),
      confirmed("Delete", () => "Really delete it?", () => run("delete", [message_id]))));
}
