// Creates elements. Text is always inserted as text and never as HTML.

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
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

// Sets the text, if it differs: an unchanged node causes no layout.
export function setText(node, text) {
  const next = String(text);
  if (node.textContent !== next) node.textContent = next;
}

// An input with its label.
export function field(text, control, attributes = {}) {
  control.id ||= `field-${(fields += 1)}`;
  return el("div", { class: "field", ...attributes }, el("label", { for: control.id }, text), control);
}

// A button that runs an action on the server, and cannot be pressed again before it has ended.
export function action(text, run, attributes = {}) {
  const button = el("button", { type: "button", ...attributes, on: { click } }, text);
  async function click() {
    button.disabled = true;
    try {
      await run();
    } finally {
      button.disabled = false;
    }
  }
  return button;
}

// A button that must be pressed twice, because its action cannot be undone.
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
  button.addEventListener("blur", () => asked && !button.disabled && reset());
  return button;
}
