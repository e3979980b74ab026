// The outcomes of the last minute, one bar per second.

import { el, setText, svg } from "./dom.js";
import { OUTCOMES, count, sum } from "./words.js";

const SECONDS = 60;
const HEIGHT = 40;

export function chart() {
  const bars = svg("g");
  const summary = el("figcaption");
  const picture = svg("svg", { viewBox: `0 0 ${SECONDS} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    bars);
  let drawn = 0;
  return { figure: el("figure", { class: "chart" }, picture, summary), render };

  function render({ overview }) {
    const now = Math.floor(Date.now() / 1_000);
    const total = (second) => Object.values(second.outcomes).reduce((a, b) => a + b, 0);
    setText(summary, `${count(sum(overview, SECONDS, total), "record")} in the last minute`);
    if (now === drawn) return;
    drawn = now;
    const highest = Math.max(10, ...overview.seconds.map(total));
    bars.replaceChildren(...overview.seconds.flatMap((second) => bar(second, SECONDS - 1 - (now - second.at), highest)));
  }
}

function bar(second, x, highest) {
  let y = HEIGHT;
  return Object.keys(OUTCOMES).filter((name) => second.outcomes[name]).map((name) => {
    const height = (second.outcomes[name] / highest) * HEIGHT;
    y -= height;
    return svg("rect", { class: `fill-${name}`, x, y, width: 0.8, height });
  });
}
