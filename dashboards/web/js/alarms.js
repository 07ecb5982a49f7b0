// Alarms: those that need someone first, each with its reason and a way to the chart at that time.

import { deviceLink, follow, get, instant, repeat, report } from "./api.js";
import { alarmRange } from "./device.js";
import { buttonGroup, fill, h, setText } from "./dom.js";
import { ago, count, duration, moment, number } from "./format.js";

const maxScore = 12;

export async function showAlarms({ root, search, signal }) {
  let alarms = [];
  let state = search.get("state") ?? "all";
  const filter = h("input", { type: "search", placeholder: "Filter by device, metric or reason", "aria-label": "Filter by device, metric or reason", oninput: () => draw() });
  const states = buttonGroup("State", [["all", "All"], ["open", "Open"], ["acknowledged", "Acknowledged"], ["cleared", "Cleared"]], state, (value) => {
    state = value;
    states.choose(value);
    load().catch(report);
  });
  const found = h("span", { class: "dim", role: "status" });
  const body = h("tbody");
  const table = h("div", { class: "panel scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, ["State", "Device", "What happened", "Value", "Peak score", "Opened", "Lasted"].map((title, i) => h("th", { scope: "col", class: i === 3 || i > 4 ? "right" : "" }, title)))), body));
  const nothing = h("div", { class: "panel empty", hidden: true });
  fill(root, h("div", { class: "bar" }, filter, states, h("span", { class: "grow" }), found), table, nothing);

  function draw() {
    const wanted = filter.value.trim().toLowerCase();
    const shown = alarms.filter((alarm) => !wanted || [alarm.device, alarm.metric, alarm.reason].some((text) => text.toLowerCase().includes(wanted)));
    const now = Date.now() * 1e6;
    fill(body, shown.map((alarm) => makeRow(alarm, now)));
    table.hidden = shown.length === 0;
    nothing.hidden = shown.length > 0;
    fill(nothing, h("b", {}, alarms.length ? "No alarm matches" : "No alarm"), alarms.length ? "Change the filter above." : "When a device behaves unlike itself, it appears here with the reason.");
    setText(found, `${count(shown.length)} alarm${shown.length === 1 ? "" : "s"}`);
  }

  function makeRow(alarm, now) {
    const range = alarmRange(alarm);
    const link = deviceLink(alarm.device, { from: instant(range.from), to: instant(range.to), series: alarm.series });
    const bar = h("i");
    bar.style.width = `${(100 * alarm.peak_score) / maxScore}%`;
    const open = alarm.state !== "cleared";
    const unit = alarm.unit ? ` ${alarm.unit}` : "";
    return h("tr", { class: "go", onclick: (event) => { if (!event.target.closest("a")) location.hash = link; } },
      h("td", {}, h("span", { class: `chip ${open ? alarm.state : ""}` }, alarm.state), h("span", { class: "sub" }, alarm.severity)),
      h("td", { class: "device" }, h("a", { href: link }, h("b", {}, alarm.device)), h("span", { class: "sub" }, alarm.metric)),
      h("td", { class: "wide" }, alarm.reason),
      h("td", { class: "right" }, `${number(alarm.value)}${unit}`, h("span", { class: "sub" }, alarm.expected === null ? "" : `expected ${number(alarm.expected)}${unit}`)),
      h("td", { class: "still" }, h("span", { class: "meter bad" }, bar), ` ${alarm.peak_score.toFixed(1)}`),
      h("td", { class: "right" }, moment(alarm.opened), h("span", { class: "sub" }, ago(alarm.opened, now))),
      h("td", { class: "right" }, open ? "still open" : duration((alarm.cleared - alarm.opened) / 1e9)));
  }

  async function load() {
    ({ alarms } = await get("alarms", { limit: 500, state: state === "all" ? undefined : state }, signal));
    draw();
  }

  follow({ points: "none" }, { alarms: () => load().catch(report), gap: () => load().catch(report) }, signal);
  await load();
  await repeat(load, 10, signal);
}
