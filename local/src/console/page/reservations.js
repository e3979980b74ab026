// The reservations, and a map of the seats of a ticketed event.

import { el, field, setText } from "./dom.js";
import { get } from "./server.js";
import { count } from "./words.js";

const STATES = ["AVAILABLE", "HOLD", "SOLD"];
const MAX_SEATS = 1_000;

export function reservations() {
  const concerts = el("div", { class: "concerts", role: "group", "aria-label": "Ticketed events" });
  const title = el("h2", { id: "seats-title" }, "Seats");
  const map = el("ul", { class: "seat-map", "aria-label": "Seats" });
  const mapNote = el("p", { class: "quiet" });
  const text = el("input", { type: "search", on: { input: () => render() } });
  const rows = el("tbody");
  const note = el("p", { class: "quiet" });
  const section = el("div", { class: "columns" },
    el("section", { class: "panel", "aria-labelledby": "seats-title" }, title, concerts, legend(), map, mapNote),
    el("section", { class: "panel", "aria-labelledby": "reservations-title" },
      el("h2", { id: "reservations-title" }, "Reservations"), field("Contains", text), note,
      el("div", { class: "scroll" }, el("table", { class: "reservations" },
        el("thead", {}, el("tr", {}, ["Reservation", "Status", "Seats", "State"].map((name) => el("th", {}, name)))), rows))));
  let chosen = null;
  return { section, render, interval: 400 };

  async function render() {
    const [all, found] = await Promise.all([get("/api/concerts"),
      get(`/api/reservations?text=${encodeURIComponent(text.value.trim())}`)]);
    if (!all || !found) return;
    if (chosen === null || !Object.hasOwn(all, chosen)) chosen = largest(all);
    renderConcerts(all);
    renderRows(found);
    if (chosen === null) return setText(mapNote, "No seat was held yet. Send an event on the page Live.");
    const seats = await get(`/api/seats?id=${encodeURIComponent(chosen)}`);
    if (seats) renderMap(seats);
  }

  function renderConcerts(all) {
    const buttons = new Map(Array.from(concerts.children, (button) => [button.dataset.id, button]));
    for (const [id, states] of Object.entries(all)) {
      const button = buttons.get(id) ?? concerts.appendChild(concert(id));
      buttons.delete(id);
      button.setAttribute("aria-pressed", String(id === chosen));
      setText(button.lastElementChild, STATES.map((state) => states[state] ?? 0).join(" / "));
      button.lastElementChild.title = "available / held / sold";
    }
    buttons.forEach((button) => button.remove());
  }

  function concert(id) {
    const choose = () => {
      chosen = id;
      map.replaceChildren();
      render();
    };
    return el("button", { type: "button", class: "chip", "data-id": id, on: { click: choose } },
      el("span", { class: "id" }, id), " ", el("span", { class: "count" }));
  }

  // Seats that are already in the map only change their class, so that the change of colour is visible.
  function renderMap({ seats, quantity_holds }) {
    setText(title, `Seats of ${chosen}`);
    const all = Object.entries(seats).slice(0, MAX_SEATS);
    const nodes = new Map(Array.from(map.children, (node) => [node.dataset.id, node]));
    for (const [id, { state, reservation_id }] of all) {
      const node = nodes.get(id) ?? map.appendChild(el("li", { "data-id": id }, el("a", {}, id)));
      const name = `seat ${state}`;
      if (node.className !== name) node.className = name;
      const link = node.firstElementChild;
      link.href = `#/reservation/${encodeURIComponent(reservation_id)}`;
      link.title = `${state}, ${reservation_id}`;
      link.setAttribute("aria-label", `${id}: ${state}, ${reservation_id}`);
    }
    const total = Object.keys(seats).length;
    const places = Object.values(quantity_holds).reduce((sum, { quantity }) => sum + quantity, 0);
    setText(mapNote, [total > MAX_SEATS ? `The first ${MAX_SEATS} of ${count(total, "seat")}.` : `${count(total, "seat")}.`,
      places > 0 && `In addition ${count(places, "place")} without numbers.`].filter(Boolean).join(" "));
  }

  function renderRows({ total, reservations: found }) {
    const key = JSON.stringify(found);
    if (rows.dataset.key === key) return;
    rows.dataset.key = key;
    setText(note, total > found.length ? `The first ${found.length} of ${count(total, "reservation")}.` : count(total, "reservation"));
    rows.replaceChildren(...found.map((reservation) => el("tr", {},
      el("td", {}, el("a", { href: `#/reservation/${encodeURIComponent(reservation.reservation_id)}` }, reservation.reservation_id)),
      el("td", {}, el("span", { class: `status ${reservation.status}` }, reservation.status)),
      el("td", {}, reservation.seat_ids.length ? reservation.seat_ids.map((id) => [el("span", { class: "word" }, id), " "])
        : count(reservation.quantity, "place")),
      el("td", {}, el("span", { class: `seat ${reservation.seat_state}` }, reservation.seat_state)))));
  }
}

// The ticketed event with the most places.
function largest(all) {
  const places = (id) => Object.values(all[id]).reduce((a, b) => a + b, 0);
  return Object.keys(all).sort((a, b) => places(b) - places(a))[0] ?? null;
}

function legend() {
  return el("p", { class: "legend" }, STATES.flatMap((state) => [el("span", { class: `seat ${state}` }, state.toLowerCase()), " / "]).slice(0, -1));
}
