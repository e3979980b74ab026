// Breaks the services and the processes of the function, and repairs them.

import { action, areValid, el, field, form, number, removeRows, setText } from "./dom.js";
import { post, put, remove, say } from "./server.js";
import { BEHAVIOURS, SERVICES, breakerState, count, sum } from "./words.js";

export function breaking() {
  const services = Object.keys(SERVICES).map(service);
  const processes = el("ul", { class: "processes", "aria-label": "Processes of the function" });
  const processesTitle = el("legend", { tabindex: -1 }, "Function");
  const faults = otherFaults();
  const section = el("section", { class: "panel", "aria-labelledby": "break-title" },
    el("h2", { id: "break-title" }, "Break things"),
    el("p", { class: "quiet" }, "A behaviour lasts for the number of requests that you enter, or until you change it."),
    services.map(({ fieldset }) => fieldset),
    faults.fieldset,
    el("fieldset", {}, processesTitle, processes));
  return { section, render };

  function render({ overview, services: modes }) {
    services.forEach(({ name, render: renderService }) => renderService(overview, modes[name]));
    faults.render(overview.faults, modes);
    renderProcesses(processes, overview.processes, processesTitle);
  }
}

// The faults of samples, and those that were added outside the console.
function otherFaults() {
  const list = el("ul");
  const fieldset = el("fieldset", { class: "faults" }, el("legend", {}, "Other faults"), list,
    el("div", { class: "line" }, action("Remove all faults", () => remove("/api/faults"))));
  return { fieldset, render };

  function render(faults, modes) {
    const isOfMode = ({ service, operation, reservation_id }) =>
      service && !operation && !reservation_id && modes[service].behaviour !== "works";
    const others = faults.filter((fault) => !isOfMode(fault)).slice(0, 20).map((fault) => JSON.stringify(fault));
    fieldset.hidden = !others.length;
    if (list.dataset.key === others.join()) return;
    list.dataset.key = others.join();
    list.replaceChildren(...others.map((fault) => el("li", {}, el("code", {}, fault))));
  }
}

function service(name) {
  const options = Object.entries(BEHAVIOURS).map(([value, text]) => el("option", { value }, text));
  const behaviour = el("select", { id: `behaviour-${name}`, on: { change: enable } }, options);
  const ms = number(150, 1, 60_000);
  const requests = el("input", { type: "number", min: 1, max: 100_000, placeholder: "all" });
  const delay = field("Delay (ms)", ms);
  const limit = field("Requests", requests);
  const now = el("p", { class: "now", "data-service": name });
  const retries = el("p", { class: "quiet" });
  enable();
  const fieldset = el("fieldset", {}, el("legend", {}, SERVICES[name]), now,
    form(field("Behaviour", behaviour), delay, limit,
      action("Apply", () => apply(behaviour.value), { class: "primary", type: "submit" }),
      action("Repair", repair)),
    retries);
  return { name, fieldset, render };

  function enable() {
    // areValid accepts a disabled input.
    delay.hidden = ms.disabled = behaviour.value !== "slow";
    limit.hidden = requests.disabled = behaviour.value === "works";
  }

  async function apply(value) {
    if (!areValid(ms, requests)) return;
    const numberOf = (input) => (input.disabled || !input.value ? null : +input.value);
    const mode = { behaviour: value, ms: numberOf(ms) ?? 0, requests: numberOf(requests) };
    if (await put(`/api/services/${name}`, mode)) say(`${SERVICES[name]}: ${text(mode)}.`);
  }

  async function repair() {
    behaviour.value = "works";
    enable();
    await apply("works");
  }

  function render(overview, mode) {
    const isBroken = mode.behaviour !== "works";
    const breaker = breakerState(name, overview);
    const left = mode.requests == null ? "" : ` for ${count(mode.requests, "more request")}`;
    setText(now, `Now: ${text(mode)}${left}${breaker ? `; ${breaker[1]}` : ""}`);
    now.classList.toggle("broken", isBroken);
    const attempts = (key) => sum(overview, 10, (second) => second.attempts[name]?.[key] ?? 0);
    setText(retries, `Last 10 s: ${count(attempts("total"), "attempt")}, ` +
      `${count(attempts("retries"), "retry", "retries")}, ${count(attempts("failures"), "failure")}.`);
  }
}

const text = ({ behaviour, ms }) => BEHAVIOURS[behaviour] + (behaviour === "slow" ? ` (after ${ms.toLocaleString("en")} ms)` : "");

// Rows are kept, so that a button does not disappear while it is pressed.
function renderProcesses(list, processes, title) {
  const rows = new Map(Array.from(list.children, (row) => [row.dataset.pid, row]));
  for (const process of processes.slice(0, 50)) {
    const row = rows.get(String(process.pid)) ?? list.appendChild(processRow(process.pid));
    rows.delete(String(process.pid));
    setText(row.querySelector(".what"), doing(process));
    setText(row.querySelector(".freeze"), process.is_frozen ? "Continue" : "Freeze");
    row.classList.toggle("frozen", process.is_frozen);
  }
  removeRows(rows.values(), title);
  if (!list.childElementCount) list.append(el("li", { class: "quiet" }, "No process runs. Idle processes end after some seconds. The next event starts one."));
}

function doing({ records, seconds, is_frozen, breakers }) {
  const states = Object.entries(breakers).flatMap(([name, { is_open, is_limited }]) =>
    [is_open && `breaker of ${SERVICES[name]} open`, is_limited && `attempts at ${SERVICES[name]} limited`]);
  const work = records ? `${count(records, "record")} for ${seconds} s` : "idle";
  return [is_frozen && "frozen", work, ...states].filter(Boolean).join(", ");
}

function processRow(pid) {
  const row = el("li", { "data-pid": pid },
    el("div", {}, el("span", { class: "id" }, `process ${pid}`), " ", el("span", { class: "what" })));
  const signal = (name) => post(`/api/processes/${pid}/${name}`);
  row.append(
    action("Freeze", () => signal(row.classList.contains("frozen") ? "thaw" : "freeze"), { class: "freeze" }),
    action("Kill", () => signal("kill"), { class: "danger" }));
  return row;
}
