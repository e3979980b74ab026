// The spans of a trace as a tree on a common scale of time.

import { el } from "./dom.js";
import { get } from "./server.js";
import { milliseconds } from "./words.js";

const MAX_SPANS = 200;

export async function trace(id) {
  const spans = (await get(`/api/traces/${encodeURIComponent(id)}`)) ?? [];
  if (!spans.length) {
    return el("p", { class: "quiet" }, "The function has not sent this trace yet. It sends traces after its response.");
  }
  const start = Math.min(...spans.map(({ time }) => time.start));
  const total = Math.max(...spans.map(({ time }) => time.end)) - start || 1;
  return el("div", { class: "trace" },
    el("p", { class: "quiet ids" }, `trace ${id}, ${spans.length} spans`),
    el("ol", {}, inOrder(spans).slice(0, MAX_SPANS).map(([span, depth]) => line(span, depth, start, total))));
}

// The spans with their depths, each parent before its children.
function inOrder(spans) {
  const known = new Set(spans.map(({ span_id }) => span_id));
  const children = Map.groupBy(spans, ({ parent_id }) => (known.has(parent_id) ? parent_id : ""));
  const visit = (id, depth) => (children.get(id) ?? [])
    .sort((a, b) => a.time.start - b.time.start)
    .flatMap((span) => [[span, depth], ...visit(span.span_id, depth + 1)]);
  return visit("", 0);
}

function line({ name, kind, error, attributes, time }, depth, start, total) {
  const bar = el("i", { class: error == null ? "ok" : "bad" });
  bar.style.left = `${Math.min(98, ((time.start - start) / total) * 100)}%`;
  bar.style.width = `${Math.max(2, ((time.end - time.start) / total) * 100)}%`;
  const about = ["reservation_id", "outcome"].map((key) => attributes[`reservation_worker.${key}`]).filter(Boolean);
  const title = el("span", { class: "name" }, [name, ...about].join(" · "));
  title.style.paddingInlineStart = `${depth}em`;
  return el("li", {}, el("details", {},
    el("summary", {}, title, el("span", { class: "time" }, milliseconds((time.end - time.start) / 1e6)),
      el("span", { class: "bars" }, bar)),
    el("dl", { class: "attributes" }, [["kind", kind], ...(error == null ? [] : [["error", error]]), ...Object.entries(attributes)]
      .map(([key, value]) => [el("dt", {}, key), el("dd", {}, String(value))]))));
}
