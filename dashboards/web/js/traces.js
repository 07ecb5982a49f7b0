// Traces: the ways of single messages through the stages, and each of them as a waterfall.

import { get, repeat } from "./api.js";
import { buttonGroup, fill, h, keepInAddress } from "./dom.js";
import { count, moment } from "./format.js";

/**
 * @typedef {object} Trace A message as `GET /api/v1/traces` tells of it. Times in ns.
 * @property {string} trace_id
 * @property {number} offset
 * @property {string} topic
 * @property {string} why
 * @property {boolean} continues
 * @property {number} start
 * @property {number} end
 * @property {string} error
 */
/**
 * @typedef {object} Span One stage of a message's way.
 * @property {string} name
 * @property {string} span_id
 * @property {number} start
 * @property {number} end
 * @property {Record<string, string | number>} attributes
 * @property {string} error
 */

const most = 100;
const reasons = [["", "All"], ["sampled", "Sampled"], ["dead letter", "Dead letters"], ["alarm", "Alarms"], ["failed function", "Failed functions"]];
const chips = { alarm: "critical", "dead letter": "warning", "failed function": "warning" };

/** @param {{root: HTMLElement, name: string, search: URLSearchParams, signal: AbortSignal}} view */
export async function showTraces({ root, name, search, signal }) {
  if (name) await showTrace(root, name, signal); else await showList(root, search.get("why") ?? "", signal);
}

/** @param {HTMLElement} root @param {string} why @param {AbortSignal} signal */
async function showList(root, why, signal) {
  const place = h("div", { class: "panel scroll" });
  const left = h("p", { class: "hint", hidden: true });
  let chosen = why;
  const group = buttonGroup("Why they are kept", reasons, chosen, (value) => {
    chosen = value;
    group.choose(value);
    keepInAddress("#/traces", { why: value });
    draw().catch(() => {});
  });
  fill(root, h("div", { class: "crumbs" }, h("a", { class: "link", href: "#/pipeline" }, "‹ Pipeline"), h("h1", {}, "Traces"),
    h("span", { class: "dim" }, "the ways of single messages through the stages")), h("div", { class: "bar" }, group), place, left);

  async function draw() {
    /** @type {{enabled: boolean, left_out: number, traces: Trace[]}} */
    const { enabled, left_out: leftOut, traces } = await get("traces", { why: chosen || undefined, limit: most }, signal);
    group.hidden = !enabled;
    left.hidden = !leftOut;
    fill(left, `${count(leftOut)} more were to be traced and were not kept: more a second than tracing.per_second.`);
    fill(place, enabled ? (traces.length ? list(traces) : none(chosen)) : off());
  }
  await repeat(draw, 2, signal);
}

function off() {
  return h("div", { class: "empty" }, h("b", {}, "No message is traced"),
    h("p", {}, "A trace shows when a message came to each stage, and when it left it."),
    h("p", {}, "To trace some, write this into the ", h("a", { href: "#/settings?tab=configuration" }, h("u", {}, "configuration")), " and start again:"),
    h("pre", {}, "[tracing]\nsample = 0.01"),
    h("p", {}, "It needs the extra \"tracing\": where that is not installed, the start says how to install it."));
}

/** @param {string} why */
function none(why) {
  return h("div", { class: "empty" }, h("b", {}, why ? "None is kept for this" : "No message has been traced yet"),
    h("p", {}, "Dead letters, alarms and failed functions are traced always, other messages by the share tracing.sample."));
}

/** @param {Trace[]} traces */
function list(traces) {
  const titles = ["Came", "Topic", "Why", "Took", "What went wrong"];
  return h("table", {},
    h("thead", {}, h("tr", {}, titles.map((title, i) => h("th", { scope: "col", class: i === 3 ? "right" : "" }, title)))),
    h("tbody", {}, traces.map((trace) => h("tr", { class: "go", onclick: () => { location.hash = link(trace); } },
      h("td", { class: "still" }, h("a", { href: link(trace) }, moment(trace.start))),
      h("td", {}, trace.topic, trace.continues ? h("span", { class: "sub" }, "continues the sender's trace") : null),
      h("td", {}, chip(trace.why)),
      h("td", { class: "right" }, took(trace.end - trace.start)),
      h("td", {}, trace.error || "–")))));
}

/** @param {Trace} trace */
function link(trace) {
  return `#/traces/${trace.trace_id}`;
}

/** @param {string} why */
function chip(why) {
  return h("span", { class: `chip ${chips[why] ?? ""}` }, why);
}

/** A time of nanoseconds as people read it. @param {number} nanoseconds */
function took(nanoseconds) {
  // Numbers of the size of a time in ns are whole quarters of a microsecond.
  const microseconds = Math.round(Math.max(0, nanoseconds) / 1e3);
  const ms = microseconds / 1e3;
  if (ms < 1) return `${microseconds} µs`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** @param {HTMLElement} root @param {string} name @param {AbortSignal} signal */
async function showTrace(root, name, signal) {
  const place = h("div", { class: "stack" });
  fill(root, h("div", { class: "bar" }, h("a", { class: "link", href: "#/traces" }, "‹ Traces"), h("h1", {}, `Trace ${name.slice(0, 8)}`),
    h("span", { class: "dim mono" }, name)), place);
  let drawn = "";
  await repeat(async () => {
    /** @type {{messages: (Trace & {spans: Span[]})[]}} */
    const { messages } = await get(`traces/${encodeURIComponent(name)}`, {}, signal);
    // Later stages come in while one looks.
    if (drawn === JSON.stringify(messages)) return;
    drawn = JSON.stringify(messages);
    fill(place, messages.map(waterfall));
  }, 2, signal);
}

/** One message: its stages as bars on one line of time. @param {Trace & {spans: Span[]}} message */
function waterfall(message) {
  const whole = Math.max(1, message.end - message.start);
  const stages = message.spans.slice(1);
  return h("section", { class: "panel trace" },
    h("h2", {}, message.topic, " ", chip(message.why)),
    h("p", { class: "pad dim" }, `Came ${moment(message.start)}, took ${took(whole)}, message ${count(message.offset)} of the journal`,
      message.continues ? ", continues the sender's trace" : "", "."),
    message.error ? h("p", { class: "pad bad" }, message.error) : null,
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `Stages of the message on ${message.topic}` },
      h("table", { class: "waterfall" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Stage"), h("th", { scope: "col", class: "right" }, "After"), h("th", { scope: "col", class: "right" }, "Took"),
          h("th", { scope: "col" }, "From its coming to its end"), h("th", { scope: "col" }, "Shared"))),
        h("tbody", {}, stages.map((span) => row(span, message.start, whole))))));
}

/** @param {Span} span @param {number} start @param {number} whole */
function row(span, start, whole) {
  const bar = h("i", { class: span.error ? "bar-of bad" : "bar-of" });
  bar.style.left = `${(100 * (span.start - start)) / whole}%`;
  bar.style.width = `${Math.max(0.3, (100 * (span.end - span.start)) / whole)}%`;
  const of = span.attributes["driftline.function"] ?? span.attributes["driftline.sink"];
  return h("tr", {},
    h("th", { scope: "row" }, span.name, of ? h("span", { class: "sub" }, String(of)) : null),
    h("td", { class: "right" }, took(span.start - start)),
    h("td", { class: "right" }, took(span.end - span.start)),
    h("td", {}, h("div", { class: "lane" }, bar), span.error ? h("span", { class: "sub bad" }, span.error) : null),
    h("td", { class: "still" }, shared(span)));
}

/** With how many others it went through. @param {Span} span */
function shared(span) {
  const messages = Number(span.attributes["driftline.messages"] ?? span.attributes["driftline.events"] ?? 0);
  const of = span.attributes["driftline.events"] ? "event" : "message";
  return messages ? `${count(messages)} ${of}${messages === 1 ? "" : "s"}` : "–";
}
