// The messages of the dead-letter queue: why they are there and what to do. They can be redriven and deleted here, and
// the operator's tool can be asked what a redrive would do.

import { action, confirmed, el, removeRows, setText } from "./dom.js";
import { advice, storyLink } from "./record.js";
import { get, post, say } from "./server.js";
import { count } from "./words.js";

// The reasons with which a refund is due, as in ops/src/refund.rs.
const REFUND_DUE = ["paid_but_expired", "paid_but_cancelled"];

// The request for predictions that is in progress, and since when. It continues while other views are shown.
let asked = null;

export function deadLetters() {
  const list = el("ol", { class: "letters" });
  const summary = el("p", { class: "quiet summary" }, "The dead letters are being read …");
  const progress = el("p", { class: "quiet", hidden: true });
  let total = 0;
  let listed = 0;
  let listedCodes = [];
  let known = null;
  const title = el("h2", { id: "letters-title", tabindex: -1 }, "Dead letters");
  const whatIf = action("What if?", predict, { title: "asks the operator's tool dead-letters what a redrive would do now" });
  const section = el("section", { class: "panel", "aria-labelledby": "letters-title" },
    title,
    el("p", {}, "Messages whose receives are used up. Remove the cause first. Then redrive or delete each message, as its advice says."),
    el("p", { class: "quiet" }, "To run the command ", el("code", {}, "dead-letters …"), " of the advice, write ",
      el("code", {}, "make dead-letters RUN='…'"), " in a second shell."),
    el("div", { class: "line" },
      whatIf,
      confirmed("Redrive all", () => `Really redrive ${count(total, "message")}? ${notCompleted(listedCodes, listed < total)}`,
        () => run("redrive", null), { class: null }),
      confirmed("Delete all", () => `Really delete ${count(total, "message")}? ${notRefunded(listedCodes, listed < total)}`,
        () => run("delete", null))),
    progress, summary, list);
  if (asked) whatIf.click();
  return { section, render, interval: 1_500 };

  async function render() {
    const letters = await get("/api/dead-letters");
    if (!letters) return;
    total = letters.total;
    listed = letters.letters.length;
    listedCodes = letters.letters.map(({ record }) => record?.reason_code);
    setText(summary, summaryOf(letters));
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
    asked ??= { since: Date.now(), reply: get("/api/dead-letters/what-if").finally(() => (asked = null)) };
    const { since, reply } = asked;
    const show = () => setText(progress, `dead-letters list --what-if has been running for ${Math.round((Date.now() - since) / 1_000)} s.
      The first run builds the tool, which takes some minutes. The terminal of make local shows the progress.`);
    show();
    const ticks = setInterval(show, 1_000);
    progress.hidden = false;
    const predictions = await reply;
    clearInterval(ticks);
    progress.hidden = true;
    if (!predictions) return;
    await render();
    if (!section.isConnected) {
      if (location.hash !== "#/dead-letters") say("What if? has ended. To see its predictions, press it again in Dead letters.");
      return;
    }
    const sentences = new Map(predictions.map((prediction) => [prediction.message_id, predicted(prediction)]));
    const rows = Array.from(list.children);
    for (const row of rows) {
      setText(row.querySelector(".prediction"), sentences.get(row.dataset.id) ??
        "No prediction: dead-letters has not received this message. Press What if? again when nothing else reads the queue.");
    }
    const number = rows.filter((row) => sentences.has(row.dataset.id)).length;
    say(number === rows.length ? "The predictions are shown." : `There is a prediction for ${number} of ${count(rows.length, "message")}.`,
      number < rows.length);
  }

  async function run(what, message_ids) {
    const number = await post(`/api/dead-letters/${what}`, { message_ids });
    if (number === 0) say("Nothing was done: the messages are invisible or gone. Try it again later.", true);
    else if (number !== null) say(`${count(number, "message")} ${what === "redrive" ? "moved back to the queue" : "deleted"}.`);
    await render();
  }
}

// The reason of a prediction may contain the prediction itself.
function predicted({ what_if, what_if_why }) {
  return `If it is redriven now: ${what_if_why.includes(what_if) ? "" : `${what_if}; `}${what_if_why}`;
}

function summaryOf({ total, invisible, gone, letters }) {
  return [
    `${letters.length < total ? `${letters.length.toLocaleString("en")} of ` : ""}${count(total, "message")}.`,
    invisible && `${count(invisible, "message is", "messages are")} invisible now, because something else is reading the queue, ` +
      "for example dead-letters.",
    gone && `${count(gone, "message is", "messages are")} gone, but may still be listed until the others are visible again.`,
  ].filter(Boolean).join(" ");
}

// How many messages need a refund or are not understood. Only the listed ones are counted.
function notCompleted(codes, isPart) {
  return [
    sentence(refunds(codes), isPart, "needs a refund and not a redrive", "need a refund and not a redrive"),
    sentence(codes.filter((code) => code === "invalid_payload").length, isPart,
      "has a body that the function does not understand, and would fail again",
      "have a body that the function does not understand, and would fail again"),
  ].filter(Boolean).join(" ");
}

// How many messages must not be deleted yet.
function notRefunded(codes, isPart) {
  const due = sentence(refunds(codes), isPart, "needs a refund", "need a refund");
  return due && `${due} Delete only after the refund.`;
}

const refunds = (codes) => codes.filter((code) => REFUND_DUE.includes(code)).length;

const sentence = (number, isPart, one, many) =>
  (number ? `${isPart ? "At least " : ""}${number} ${number === 1 ? one : many}.` : "");

function letter({ message_id, body, receives, record }, run) {
  return el("li", { class: "letter", "data-id": message_id },
    el("p", { class: "title" },
      el("code", { class: "reason-code" }, record?.reason_code ?? "unknown reason"),
      el("a", { class: "id", href: storyLink(record ?? { message_id }) }, record?.reservation_id ?? message_id),
      el("span", { class: "quiet" }, `type ${record?.event_type ?? "unknown"}, received ${record?.attempt ?? receives} times`)),
    el("p", { class: "reason" }, record?.reason ?? "Its last delivery is not known any more."),
    record && advice(record),
    el("p", { class: "prediction" }),
    el("details", {}, el("summary", {}, "Body"), el("pre", {}, body)),
    el("div", { class: "line" },
      REFUND_DUE.includes(record?.reason_code)
        ? confirmed("Redrive", () => "Really redrive it? It needs a refund and not a redrive.", () => run("redrive", [message_id]),
          { class: null })
        : action("Redrive", () => run("redrive", [message_id])),
      confirmed("Delete", () => (REFUND_DUE.includes(record?.reason_code) ? "Really delete it? Only after the refund." : "Really delete it?"),
        () => run("delete", [message_id]))));
}
