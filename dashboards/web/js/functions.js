// Functions: what is called for what happens: how each does, its newest calls with their logs, and what was set aside.

import { get, may, repeat, report, send } from "./api.js";
import { asCards, fill, h } from "./dom.js";
import { count, duration, moment } from "./format.js";

/**
 * @typedef {object} Call
 * @property {string} request_id
 * @property {string} trigger
 * @property {number} attempt
 * @property {number} events
 * @property {number} started
 * @property {number} duration
 * @property {number} memory
 * @property {boolean} cold
 * @property {string} outcome
 * @property {string} error
 * @property {string[]} logs
 *
 * @typedef {object} FunctionState A function as `GET /api/v1/functions` tells of it.
 * @property {string} name
 * @property {{trigger: Record<string, unknown>, [key: string]: unknown}} definition
 * @property {Record<string, number>} counts
 * @property {number | null} next_firing
 * @property {number} processes
 * @property {Call | null} last_call
 * @property {string} problem
 * @property {Call[]} [calls]
 * @property {{key: string, created: number, tries: number, error: string, event: unknown}[]} [failed]
 */

const mostCalls = 50;

/** @param {{root: HTMLElement, name: string, signal: AbortSignal}} view */
export async function showFunctions({ root, name, signal }) {
  if (name) await showFunction(root, name, signal); else await showList(root, signal);
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
async function showList(root, signal) {
  const place = h("div", { class: "panel scroll" });
  fill(root, h("div", { class: "crumbs" }, h("h1", {}, "Functions"), h("span", { class: "dim" }, "code that is called for what happens")), place);
  await repeat(async () => {
    /** @type {{functions: FunctionState[]}} */
    const { functions } = await get("functions", {}, signal);
    fill(place, functions.length ? list(functions) : nothing());
    asCards(place);
  }, 2, signal);
}

function nothing() {
  return h("div", { class: "empty" }, h("b", {}, "No function is declared yet"),
    h("p", {}, "A function is code of your own, or a ready-made action, called for what happens: for an alarm, say, or every hour."),
    h("p", {}, "To declare one, write this into the ", h("a", { href: "#/settings?tab=configuration" }, h("u", {}, "configuration")), ", with a file beside it that defines a function ", h("code", {}, "handler"), ":"),
    h("pre", {}, '[[functions]]\nname = "on_alarm"\nfile = "on_alarm.py"\ntrigger = { type = "alarm" }'),
    h("p", {}, "It appears here once it is in force, with its calls and what they say."));
}

/** @param {FunctionState[]} functions */
function list(functions) {
  const titles = ["Function", "Called for", "Events", "Waiting", "Set aside", "Calls", "Failed calls", "Last call"];
  return h("table", {},
    h("thead", {}, h("tr", {}, titles.map((title, i) => h("th", { scope: "col", class: i > 1 ? "right" : "" }, title)))),
    h("tbody", {}, functions.map((each) => h("tr", { class: "go", onclick: () => { location.hash = link(each); } },
      h("td", { class: "device" }, h("a", { href: link(each) }, h("b", {}, each.name)),
        workflowOf(each) ? h("span", { class: "sub" }, "begins the workflow ", h("a", { href: `#/workflows/${encodeURIComponent(workflowOf(each))}` }, h("u", {}, workflowOf(each)))) : null,
        each.problem ? h("span", { class: "sub bad" }, each.problem) : null),
      h("td", {}, triggerOf(each)),
      h("td", { class: "right" }, count(each.counts.events)),
      h("td", { class: "right" }, count(each.counts.waiting)),
      h("td", { class: `right ${each.counts.failed ? "bad" : ""}` }, count(each.counts.failed)),
      h("td", { class: "right" }, count(each.counts.calls)),
      h("td", { class: `right ${failures(each) ? "warn" : ""}` }, count(failures(each))),
      h("td", { class: "right" }, each.last_call ? moment(each.last_call.started) : "–",
        each.last_call ? h("span", { class: "sub" }, each.last_call.outcome) : null)))));
}

/** The workflow of which the function is the trigger, "" where it is none. @param {FunctionState} each */
function workflowOf(each) {
  const given = /** @type {{workflow?: string} | undefined} */ (each.definition.with);
  return each.definition.action === "workflow" ? given?.workflow ?? "" : "";
}

/** @param {FunctionState} each */
function link(each) {
  return `#/functions/${encodeURIComponent(each.name)}`;
}

/** @param {FunctionState} each */
function failures(each) {
  return each.counts.errors + each.counts.timeouts + each.counts.crashes;
}

/** @param {FunctionState} each */
function triggerOf(each) {
  const { type, ...rest } = each.definition.trigger;
  const said = Object.values(rest).flat().join(", ");
  return said ? `${type}: ${said}` : String(type);
}

/** @param {HTMLElement} root @param {string} name @param {AbortSignal} signal */
async function showFunction(root, name, signal) {
  const facts = h("div", { class: "tiles" });
  const aside = h("section", { class: "panel" });
  const calls = h("div", { class: "scroll" });
  fill(root, h("div", { class: "bar" }, h("a", { class: "link", href: "#/functions" }, "‹ Functions"), h("h1", {}, name)),
    facts, h("div", { class: "stack" }, aside, h("section", { class: "panel" }, h("h2", {}, "Newest calls"), calls)));
  let drawn = "";
  await repeat(async () => {
    /** @type {FunctionState} */
    const found = await get(`functions/${encodeURIComponent(name)}`, { limit: mostCalls }, signal);
    fill(facts, tiles(found));
    // What is open to be read stays open while nothing new has come.
    const now = JSON.stringify([found.calls?.[0]?.request_id, found.failed?.length]);
    if (now === drawn) return;
    drawn = now;
    fill(aside, setAside(found));
    fill(calls, callTable(found.calls ?? []));
    asCards(calls);
  }, 1, signal);
}

/** @param {FunctionState} each */
function tiles(each) {
  const { counts } = each;
  const tile = (label, value, small, name = "") => h("div", { class: "tile" }, h("span", {}, label), h("b", { class: name }, value), h("small", {}, small));
  const called = counts.calls ? `${duration(counts.milliseconds / counts.calls / 1000)} a call` : "";
  return [
    tile("Called for", triggerOf(each), each.next_firing === null ? "" : `next at ${moment(each.next_firing)}`),
    tile("Events", count(counts.events), `${count(counts.done)} done, ${count(counts.waiting)} waiting`),
    tile("Set aside", count(counts.failed), counts.dropped ? `${count(counts.dropped)} dropped` : "", counts.failed ? "bad" : ""),
    tile("Calls", count(counts.calls), called),
    tile("Failed calls", count(failures(each)), `${count(counts.timeouts)} too long, ${count(counts.crashes)} crashed`, failures(each) ? "warn" : ""),
    tile("Processes", count(each.processes), `${count(counts.cold_starts)} started so far`),
  ];
}

/** @param {FunctionState} each */
function setAside(each) {
  const failed = each.failed ?? [];
  if (!failed.length) return [h("h2", {}, "Set aside"), h("p", { class: "pad" }, "Every event was taken.")];
  const again = () => send("POST", `functions/${encodeURIComponent(each.name)}/retry`).catch(report);
  return [
    h("h2", {}, "Set aside", may("operator") ? h("button", { type: "button", onclick: again }, "Try again") : null),
    h("table", {},
      h("thead", {}, h("tr", {}, ["Came", "Tries", "Why", "Event"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, failed.map((event) => h("tr", {}, h("td", {}, moment(event.created)), h("td", {}, count(event.tries)),
        h("td", { class: "bad" }, event.error), h("td", {}, h("code", {}, JSON.stringify(event.event))))))),
  ];
}

/** @param {Call[]} calls */
function callTable(calls) {
  if (!calls.length) return h("div", { class: "empty" }, "It has not been called yet.");
  const titles = ["Started", "For", "Outcome", "Took", "Memory", "Said"];
  return h("table", {},
    h("thead", {}, h("tr", {}, titles.map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, calls.map((call) => h("tr", {},
      h("td", {}, moment(call.started)),
      h("td", {}, call.events > 1 ? `${count(call.events)} of ${call.trigger}` : call.trigger, call.attempt > 1 ? h("span", { class: "sub" }, `try ${call.attempt}`) : null),
      h("td", { class: call.outcome === "ok" ? "" : "bad" }, call.outcome, call.error ? h("span", { class: "sub" }, call.error) : null),
      h("td", {}, duration(call.duration / 1e9), call.cold ? h("span", { class: "sub" }, "cold start") : null),
      h("td", {}, call.memory ? `${Math.round(call.memory / 2 ** 20)} MiB` : "–"),
      h("td", {}, call.logs.length ? h("details", {}, h("summary", {}, call.logs[0].slice(0, 80)), h("pre", {}, call.logs.join("\n"))) : null)))));
}
