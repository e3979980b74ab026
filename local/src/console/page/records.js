// The list of records as they end. At most MAX_ROWS rows are in the page.

import { el, field, setText } from "./dom.js";
import { chart } from "./chart.js";
import { row } from "./record.js";
import { OUTCOMES, count, outcome } from "./words.js";

const MAX_ROWS = 100;

export function records() {
  const filter = { outcomes: new Set(), type: "", text: "", isPaused: false };
  const { figure, render: renderChart } = chart();
  const list = el("ol", { class: "records", "aria-label": "Records, newest first" });
  const empty = el("p", { class: "quiet" });
  const summary = el("p", { class: "quiet" });
  const chips = Object.fromEntries(Object.keys(OUTCOMES).map((name) => [name, chip(name)]));
  const types = el("select", { on: { change: () => change(() => (filter.type = types.value)) } },
    el("option", { value: "" }, "all types"));
  const text = el("input", { type: "search", placeholder: "reservation, message, reason",
    on: { input: () => change(() => (filter.text = text.value.trim().toLowerCase())) } });
  const pause = el("input", { type: "checkbox", on: { change: () => change(() => (filter.isPaused = pause.checked)) } });
  // What the rows show: the number of the newest record that was considered, and the current filter.
  let shown = 0;
  let generation = 0;
  let current = null;

  const section = el("section", { class: "panel", "aria-labelledby": "records-title" },
    el("div", { class: "heading" }, el("h2", { id: "records-title" }, "Records as they end"), figure),
    el("div", { class: "filters" },
      el("div", { class: "chips", role: "group", "aria-label": "Outcomes to show" }, Object.values(chips)),
      field("Type", types),
      field("Contains", text, { class: "field grow" }),
      el("label", { class: "check" }, pause, "Pause")),
    list, empty, summary);
  return { section, render };

  function chip(name) {
    return el("button", { type: "button", class: `chip ${name}`, "aria-pressed": "false", title: OUTCOMES[name],
      on: { click: () => change(() => toggle(name)) } }, outcome(name), " ", el("span", { class: "count" }, "0"));
  }

  function toggle(name) {
    if (!filter.outcomes.delete(name)) filter.outcomes.add(name);
    chips[name].setAttribute("aria-pressed", String(filter.outcomes.has(name)));
  }

  function change(set) {
    set();
    redraw();
  }

  function matches(record) {
    return (!filter.outcomes.size || filter.outcomes.has(record.outcome))
      && (!filter.type || record.event_type === filter.type)
      && (!filter.text || [record.reservation_id, record.message_id, record.reason, record.reason_code]
        .some((value) => value?.toLowerCase().includes(filter.text)));
  }

  // Draws all rows again, after the filter has changed or the records were replaced.
  function redraw() {
    if (!current) return;
    list.replaceChildren();
    shown = 0;
    generation = current.generation;
    addRows();
  }

  // Adds the rows of the new records at the top, and removes the surplus at the end.
  function addRows() {
    const rows = [];
    for (let index = current.records.length - 1; index >= 0 && rows.length < MAX_ROWS; index -= 1) {
      const record = current.records[index];
      if (record.number <= shown) break;
      if (matches(record)) rows.push(row(record));
    }
    list.prepend(...rows);
    while (list.childElementCount > MAX_ROWS) list.lastElementChild.remove();
    shown = current.latest;
    empty.hidden = list.childElementCount > 0;
    setText(empty, current.latest ? "No record matches the filter." : "Nothing yet. Send an event, for example the sample on this page.");
    setText(summary, `${count(current.latest, "record")} since the start. The filter searches the latest ` +
      `${count(current.records.length, "record")}, and shows at most ${MAX_ROWS}.`);
  }

  function render(state) {
    current = state;
    renderChart(state);
    for (const [name, node] of Object.entries(chips)) {
      setText(node.lastElementChild, (state.overview.outcomes[name] ?? 0).toLocaleString("en"));
    }
    addTypes(state.records);
    if (filter.isPaused) return;
    if (state.generation !== generation) redraw();
    else addRows();
  }

  function addTypes(all) {
    const known = new Set(Array.from(types.options, (option) => option.value));
    for (const { event_type } of all.slice(-200)) {
      if (known.has(event_type)) continue;
      known.add(event_type);
      types.append(el("option", { value: event_type }, event_type));
    }
  }
}
