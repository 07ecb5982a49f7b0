// What a device says of itself in words: its availability, modes and texts, the last of each and since when.

import { send } from "./api.js";
import { fill, h } from "./dom.js";
import { ago, moment } from "./format.js";

const most = 60;
const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

/**
 * The last word of each state of these devices: by device, then by metric.
 * @param {string[]} devices @returns {Promise<Map<string, Map<string, string>>>}
 */
export async function lastWords(devices) {
  /** @type {Map<string, Map<string, string>>} */
  const found = new Map(devices.map((device) => [device, new Map()]));
  const sql = `select device, metric, arg_max(text, time) as text from states where device in (${devices.map(quoted).join(", ")}) group by device, metric`;
  const { rows } = await send("POST", "query", { sql });
  for (const [device, metric, text] of rows) found.get(device)?.set(metric, text);
  return found;
}

// The section, and what fills it anew; hidden where the device says nothing in words.
export function deviceStates(device, signal) {
  const body = h("tbody");
  const element = h("section", { class: "panel scroll", "aria-label": "Last known states", hidden: true }, h("h2", {}, "Last known states"),
    h("table", {}, h("thead", {}, h("tr", {}, ["State", "Says", "Since"].map((title) => h("th", { scope: "col" }, title)))), body));

  async function load() {
    const sql = `select metric, arg_max(text, time) as text, epoch_ns(max(time)) as since from states where device = ${quoted(device)} group by metric order by since desc limit ${most}`;
    const { rows } = await send("POST", "query", { sql });
    if (signal.aborted) return;
    const now = Date.now() * 1e6;
    element.hidden = rows.length === 0;
    fill(body, rows.map(([metric, text, since]) => h("tr", {}, h("td", {}, metric), h("td", { class: "wide" }, h("b", {}, text)), h("td", { class: "still" }, moment(since), h("span", { class: "sub" }, ago(since, now))))));
  }

  return { element, load };
}
