// The path of the events as a picture with live numbers, and the invariants.

import { el, setText } from "./dom.js";
import { storyLink } from "./record.js";
import { SERVICES, breakerState, count, duration, perSecond, sum } from "./words.js";

const VERDICTS = { holds: "✓", waiting: "…", violated: "✗", unknown: "?" };
const sumOf = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);

export function path() {
  const numbers = {};
  const number = (name, ...text) => {
    numbers[name] = el("strong", { "data-number": name }, "0");
    return el("span", { class: "number" }, numbers[name], " ", text);
  };
  const nextDelivery = el("span", { class: "next-delivery" });
  const processes = el("span", { class: "dots" });
  const rate = (name) => el("span", { class: "arrow" }, (numbers[name] = el("span", { class: "rate" })));
  const states = {};
  const service = (name) => {
    states[name] = el("span", { class: "state" });
    return node(SERVICES[name], "service", states[name], number(name, "attempts/s"));
  };
  const invariants = el("ul", { class: "invariants", "aria-label": "Invariants" });
  const problem = el("p", { class: "problem", hidden: true });
  const picture = el("div", { class: "path" },
    node("Bus", "bus", number("sent", "sent from here")),
    rate("into"),
    el("div", { class: "queues" },
      node("Queue", "queue", number("ready", "ready"), number("waiting", "waiting", nextDelivery), number("in_flight", "in flight")),
      el("span", { class: "arrow down" }, el("span", { class: "rate" }, "receives used up")),
      node("Dead letters", "dlq", number("dead", "to look at"))),
    rate("records"),
    node("Function", "function", number("processes", "running"), processes, number("done", "done"),
      number("held", "held by a breaker")),
    rate("calls"),
    el("div", { class: "services" }, service("reservation-api"), service("inventory")));
  const section = el("section", { class: "panel", "aria-labelledby": "path-title" },
    el("h2", { id: "path-title" }, "The path of an event"), picture, problem, invariants);
  // The records below stay visible, too, and begin where the picture ends (layout.css).
  const height = () => document.documentElement.style.setProperty("--path-height", `${section.offsetHeight}px`);
  new ResizeObserver(height).observe(section);
  return { section, render: ({ overview }) => render(overview) };

  function render(overview) {
    const { queue, mapping } = overview;
    const values = {
      sent: overview.sent, ready: queue.ready, waiting: queue.waiting, in_flight: queue.in_flight, dead: queue.dead,
      processes: overview.processes.length, done: mapping.done,
      held: overview.processes.filter(isHeld).reduce((sum, { records }) => sum + records, 0),
    };
    for (const [name, value] of Object.entries(values)) setText(numbers[name], value.toLocaleString("en"));
    const seconds = (overview.next_delivery - Date.now()) / 1_000;
    setText(nextDelivery, queue.waiting && seconds > 0 ? `, next in ${duration(seconds)}` : "");
    setText(numbers.records, `${perSecond(overview, (second) => sumOf(second.outcomes))} records/s`);
    for (const name of Object.keys(SERVICES)) {
      setText(numbers[name], perSecond(overview, (second) => second.attempts[name]?.total ?? 0));
      renderService(states[name], name, overview);
    }
    numbers.held.parentElement.hidden = values.held === 0;
    numbers.dead.closest(".node").classList.toggle("attention", queue.dead > 0);
    processes.replaceChildren(...overview.processes.slice(0, 50).map(dot));
    problem.hidden = !overview.queue_error;
    setText(problem, `The queue does not answer: ${overview.queue_error}`);
    renderInvariants(invariants, overview.invariants);
  }
}

function node(title, kind, ...content) {
  return el("div", { class: `node ${kind}` }, el("h3", {}, title), ...content);
}

// Records wait in the process, because it does not call a service at the moment.
const isHeld = ({ records, breakers }) => records > 0 && Object.values(breakers).some(({ is_open }) => is_open);

function dot(process) {
  const { pid, records, seconds, is_frozen } = process;
  const kind = is_frozen ? "frozen" : isHeld(process) ? "held" : records ? "busy" : "idle";
  const text = records ? `${count(records, "record")} for ${seconds} s` : "no invocation";
  return el("span", { class: `dot ${kind}`, title: `process ${pid}: ${kind}, ${text}` });
}

// The breakers of all processes, and the failures of the last seconds.
function renderService(target, name, overview) {
  const failures = sum(overview, 5, (second) => second.attempts[name]?.failures ?? 0);
  const [kind, text] = breakerState(name, overview)
    ?? (failures ? ["failing", `${count(failures, "failure")} in 5 s`] : ["works", "breaker closed"]);
  setText(target, text);
  target.className = `state ${kind}`;
}

const VERDICT_TEXTS = {
  holds: () => "true",
  waiting: (number) => `${number} not finished yet`,
  violated: (number) => `violated for ${number}`,
  unknown: (number) => `${count(number, "dead letter")} missing. This console cannot see whether somebody else deleted ` +
    `${number === 1 ? "it" : "them"}.`,
};

function renderInvariants(list, invariants) {
  const key = JSON.stringify(invariants);
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  list.replaceChildren(...invariants.map(({ name, verdict, count: number, examples }) =>
    el("li", { class: verdict },
      el("span", { class: "mark", "aria-hidden": "true" }, VERDICTS[verdict]), `${name}: `,
      el("span", { class: "verdict" }, VERDICT_TEXTS[verdict](number)),
      verdict === "violated" && el("span", { class: "examples" }, examples.map((id) =>
        [" ", el("a", { class: "id", href: storyLink(name === "No event is lost" ? { message_id: id } : { reservation_id: id }) }, id)])))));
}
