// Creates elements. Text is always inserted as text and never as HTML.

import { say } from "./server.js";
import { visible } from "./words.js";

let fields = 0;
const SVG = "http://www.w3.org/2000/svg";

// `attributes`: `on` maps events to handlers; `true` sets an empty attribute; `false`, null and undefined set none.
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, { on = {}, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, handler] of Object.entries(on)) node.addEventListener(event, handler);
  const shown = children.flat(Infinity).filter((child) => child != null && child !== false);
  node.append(...shown.map((child) => (typeof child === "string" ? visible(child) : child)));
  return node;
}

// Sets the text, if it differs: an unchanged node causes no layout.
export function setText(node, text) {
  const next = visible(String(text));
  if (node.textContent !== next) node.textContent = next;
}

// An input with its label.
export function field(text, control, attributes = {}) {
  control.id ||= `field-${(fields += 1)}`;
  return el("div", { class: "field", ...attributes }, el("label", { for: control.id }, text), control);
}

export const number = (value, min, max) => el("input", { type: "number", value, min, max, required: true });

// Whether all inputs are valid. If not, says what is wrong with the first of these, and moves the focus there.
export function areValid(...inputs) {
  const wrong = inputs.find((input) => !input.checkValidity());
  if (!wrong) return true;
  const [min, max] = [wrong.min, wrong.max].map((limit) => Number(limit).toLocaleString("en"));
  say(`${wrong.labels[0].textContent} must be a whole number from ${min} to ${max}.`, true);
  wrong.focus();
  return false;
}

// A line of fields with their buttons. Enter in a field presses the button of the type "submit".
export function form(...content) {
  return el("form", { class: "line", novalidate: true, on: { submit: (event) => event.preventDefault() } }, content);
}

// A button that runs an action on the server, and cannot be pressed again before it has ended.
export function action(text, run, attributes = {}) {
  const button = el("button", { type: "button", ...attributes, on: { click } }, text);
  async function click() {
    if (button.ariaDisabled) return;
    // A button that is really disabled loses the focus.
    button.ariaDisabled = "true";
    try {
      await run();
    } finally {
      button.ariaDisabled = null;
    }
  }
  return button;
}

// Removes the rows. A person who uses the keyboard stays in the list: the focus moves to the same control of the next
// row, or to `otherwise`.
export function removeRows(rows, otherwise) {
  for (const row of rows) {
    const place = controls(row).indexOf(document.activeElement);
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    if (place >= 0) (next && controls(next)[place] || otherwise).focus();
  }
}

const controls = (row) => Array.from(row.querySelectorAll("a, summary, button"));

// A button that must be pressed twice, because its action cannot be undone. The Escape key takes the question back.
export function confirmed(text, question, run, attributes = {}) {
  let asked = false;
  const button = action(text, async () => {
    if (asked) {
      reset();
      await run();
    } else {
      asked = true;
      button.textContent = question();
    }
  }, { class: "danger", ...attributes });
  const reset = () => {
    asked = false;
    button.textContent = text;
  };
  button.addEventListener("blur", () => asked && afterClick(reset));
  button.addEventListener("keydown", ({ key }) => key === "Escape" && reset());
  return button;
}

let isPressed = false;
addEventListener("pointerdown", () => (isPressed = true), true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => (isPressed = false), true);

// Runs what changes the layout when no press is in progress: what is under the pointer must not move before the click.
function afterClick(run) {
  setTimeout(() => (isPressed ? afterClick(run) : run()), 20);
}
