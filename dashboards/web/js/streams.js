// Streams: standing questions in SQL: what was asked, how far each has come, and its newest answers, live.

import { get, repeat } from "./api.js";
import { asCards, fill, h } from "./dom.js";
import { clock, count, duration, moment, number } from "./format.js";

/**
 * @typedef {object} Stream A stream as `GET /api/v1/streams` tells of it.
 * @property {string} name
 * @property {boolean} declared
 * @property {{from: string, sql: string, window: Record<string, string>, [key: string]: unknown} | null} definition
 * @property {Record<string, number>} counts
 * @property {number} left_out
 * @property {number} undelivered
 * @property {number | null} watermark
 * @property {number | null} lag_seconds
 * @property {string} problem
 * @property {string[]} [row_columns]
 * @property {unknown[][]} [newest]
 */

const mostRows = 50;
const beside = new Set(["window_start", "revision", "journal_offset", "id", "complete"]);
const apart = new Set(["name", "sql", "window"]);

/** @param {{root: HTMLElement, name: string, signal: AbortSignal}} view */
export async function showStreams({ root, name, signal }) {
  if (name) await showStream(root, name, signal); else await showList(root, signal);
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
async function showList(root, signal) {
  const place = h("div", { class: "panel scroll" });
  fill(root, h("div", { class: "crumbs" }, h("h1", {}, "Streams"), h("span", { class: "dim" }, "questions in SQL that are answered all the time")), place);
  await repeat(async () => {
    /** @type {{streams: Stream[]}} */
    const { streams } = await get("streams", {}, signal);
    fill(place, streams.length ? list(streams) : nothing());
    asCards(place);
  }, 2, signal);
}

function nothing() {
  return h("div", { class: "empty" }, h("b", {}, "No stream is declared yet"),
    h("p", {}, "A stream is SQL over windows of what devices send, answered as each window ends."),
    h("p", {}, "To declare one, write this into the ", h("a", { href: "#/settings?tab=configuration" }, h("u", {}, "configuration")), ":"),
    h("pre", {}, '[[streams]]\nname = "readings_a_minute"\nfrom = "readings"\nwindow = { size = "1m" }\nsql = "select count(*) as n from window"'),
    h("p", {}, "Its first answer appears here once its first window is over, a minute later."));
}

/** @param {Stream[]} streams */
function list(streams) {
  const titles = ["Stream", "From", "Window", "Rows in", "Left out", "Answers", "Answered up to"];
  return h("table", {},
    h("thead", {}, h("tr", {}, titles.map((title, i) => h("th", { scope: "col", class: i > 2 ? "right" : "" }, title)))),
    h("tbody", {}, streams.map((stream) => h("tr", { class: "go", onclick: () => { location.hash = link(stream); } },
      h("td", { class: "device" }, h("a", { href: link(stream) }, h("b", {}, stream.name)),
        stream.declared ? null : h("span", { class: "sub" }, "no longer declared"),
        stream.problem ? h("span", { class: "sub bad" }, stream.problem) : null),
      h("td", {}, stream.definition?.from ?? ""),
      h("td", {}, windowOf(stream)),
      h("td", { class: "right" }, count(stream.counts.received)),
      h("td", { class: `right ${stream.left_out ? "warn" : ""}` }, count(stream.left_out), h("span", { class: "sub" }, parts(stream.counts, leftOut))),
      h("td", { class: `right ${stream.undelivered ? "bad" : ""}` }, count(stream.counts.rows), h("span", { class: "sub" }, parts(stream.counts, undelivered))),
      h("td", { class: "right" }, moment(stream.watermark),
        stream.lag_seconds === null ? null : h("span", { class: "sub" }, `${duration(stream.lag_seconds)} ago`))))));
}

/** Rows that are in no window, though their readings are stored, and answers that did not reach MQTT, in words. */
const leftOut = { late: "came after their window", over_limit: "over the limit" };
const undelivered = { refused: "refused by the broker", unpublished: "dropped from the backlog" };

/** @param {Record<string, number>} counts @param {Record<string, string>} words */
function parts(counts, words) {
  return Object.entries(words).filter(([name]) => counts[name]).map(([name, said]) => `${count(counts[name])} ${said}`).join(", ");
}

/** @param {Stream} stream */
function link(stream) {
  return `#/streams/${encodeURIComponent(stream.name)}`;
}

/** @param {Stream} stream */
function windowOf(stream) {
  const { type = "", size = "", hop = "", gap = "" } = stream.definition?.window ?? {};
  return [type, size || gap, hop ? `every ${hop}` : ""].filter(Boolean).join(" ");
}

/** @param {HTMLElement} root @param {string} name @param {AbortSignal} signal */
async function showStream(root, name, signal) {
  const facts = h("div", { class: "tiles" });
  const question = h("section", { class: "panel" });
  const answers = h("div", { class: "scroll" });
  fill(root, h("div", { class: "bar" }, h("a", { class: "link", href: "#/streams" }, "‹ Streams"), h("h1", {}, name)),
    facts, h("div", { class: "stack" }, question, h("section", { class: "panel" }, h("h2", {}, "Newest answers"), answers)));
  let asked = "";
  await repeat(async () => {
    /** @type {Stream} */
    const stream = await get(`streams/${encodeURIComponent(name)}`, { limit: mostRows }, signal);
    fill(facts, tiles(stream));
    if (asked !== JSON.stringify(stream.definition)) {
      asked = JSON.stringify(stream.definition);
      fill(question, definition(stream));
    }
    fill(answers, rows(stream.row_columns ?? [], stream.newest ?? []));
  }, 1, signal);
}

/** @param {Stream} stream */
function tiles(stream) {
  const { counts } = stream;
  const tile = (label, value, small, name = "") => h("div", { class: "tile" }, h("span", {}, label), h("b", { class: name }, value), h("small", {}, small));
  return [
    tile("Rows in", count(counts.received), `${count(counts.taken)} taken`),
    tile("Late", count(counts.late), counts.corrected ? `${count(counts.corrected)} corrected` : "left out", counts.late ? "warn" : ""),
    tile("Over the limit", count(counts.over_limit), "left out", counts.over_limit ? "bad" : ""),
    tile("Answers", count(counts.rows), `${count(counts.windows)} windows`),
    ...(counts.refused ? [tile("Refused", count(counts.refused), "by the broker", "bad")] : []),
    ...(counts.unpublished ? [tile("Unpublished", count(counts.unpublished), "too many waited", "bad")] : []),
    tile("Failed", count(counts.failed), stream.problem, counts.failed ? "bad" : ""),
    tile("Answered up to", stream.watermark === null ? "–" : clock(stream.watermark), stream.lag_seconds === null ? "" : `${duration(stream.lag_seconds)} ago`),
  ];
}

/** @param {Stream} stream */
function definition(stream) {
  if (!stream.definition) return [h("h2", {}, "No longer declared"), h("p", { class: "pad" }, "Its table stays until its rows are old.")];
  const others = Object.entries(stream.definition).filter(([key]) => !apart.has(key));
  return [
    h("h2", {}, "Question"),
    h("div", { class: "pad operation" }, h("pre", {}, unindented(stream.definition.sql))),
    h("table", { class: "ledger" }, h("tbody", {},
      h("tr", {}, h("td", {}, "window"), h("td", {}, windowOf(stream))),
      others.map(([key, value]) => h("tr", {}, h("td", {}, key.replaceAll("_", " ")), h("td", {}, [value].flat().join(", ")))))),
  ];
}

// Without the indentation that the lines behind the first have in the configuration.
/** @param {string} sql */
function unindented(sql) {
  const lines = sql.split("\n");
  const least = Math.min(...lines.slice(1).filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return lines.map((line, i) => (i && Number.isFinite(least) ? line.slice(least) : line)).join("\n");
}

/** @param {string[]} columns @param {unknown[][]} found */
function rows(columns, found) {
  if (!found.length) return h("div", { class: "empty" }, "No window is complete yet.");
  const shown = columns.map((_, i) => i).filter((i) => !beside.has(columns[i]));
  const right = (i) => (typeof found[0][i] === "number" ? "right" : "still");
  return h("table", {},
    h("thead", {}, h("tr", {}, shown.map((i) => h("th", { scope: "col", class: right(i) }, columns[i].replaceAll("_", " "))))),
    h("tbody", {}, found.map((row) => h("tr", {}, shown.map((i) => h("td", { class: right(i) }, cell(row[i])))))));
}

/** @param {unknown} value */
function cell(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return number(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)?$/.test(text) ? moment(Date.parse(text.endsWith("Z") || text.includes("+") ? text : `${text}Z`) * 1e6) : text;
}
