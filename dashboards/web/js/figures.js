// How well the alarm list serves those who watch it: the figures of ISA-18.2, with what to do about each.

import { deviceLink, get } from "./api.js";
import { buttonGroup, fill, h, keepInAddress } from "./dom.js";
import { count } from "./format.js";

const mostBudgets = 10;
const spans = [["1", "1 day"], ["7", "7 days"], ["30", "30 days"]];

export async function showFigures({ root, search, signal }) {
  let days = search.get("days") ?? "7";
  const choice = buttonGroup("Time", spans, days, (value) => {
    days = value;
    choice.choose(value);
    keepInAddress("#/figures", { days });
    draw();
  });
  const content = h("div");
  fill(root, h("div", { class: "crumbs" }, h("a", { href: "#/alarms" }, "Alarms"), h("span", { class: "dim" }, "/"), h("h1", {}, "Figures"), h("span", { class: "dim" }, "after ISA-18.2, for one person who watches the list")),
    h("div", { class: "bar" }, choice), content);

  const tile = (label, value, small, kind = "") => h("div", { class: "tile" }, h("span", {}, label), h("b", { class: kind }, value), h("small", {}, small));
  const named = (each) => h("tr", {}, h("td", {}, h("a", { href: deviceLink(each.device, { series: each.series }) }, h("b", {}, each.device)), h("span", { class: "sub" }, each.metric)), h("td", { class: "right" }, each.alarms === undefined ? "" : count(each.alarms)));
  const list = (title, rows, none) => h("section", { class: "panel" }, h("h2", {}, title), rows.length ? h("table", {}, h("tbody", {}, rows.map(named))) : h("p", { class: "pad dim" }, none));

  const few = (number) => (number < 1 ? number.toPrecision(2) : number.toFixed(1));
  const budgets = (title, rows) => h("section", { class: "panel scroll", tabindex: "0", "aria-label": title }, h("h2", {}, title), rows.some((each) => each.raised) ? h("table", {},
    h("thead", {}, h("tr", {}, ["", "Allowed", "Raised", "Right", "Wrong", "Not judged"].map((word, i) => h(word ? "th" : "td", { scope: word ? "col" : null, class: i ? "right" : "" }, word)))),
    h("tbody", {}, rows.filter((each) => each.raised).slice(0, mostBudgets).map((each) => h("tr", {}, h("td", { class: "still" }, h("b", {}, each.name), each.exceeded ? h("span", { class: "sub bad" }, "over its budget") : null),
      h("td", { class: "right" }, each.allowed === null ? "" : few(each.allowed)), ["raised", "right", "wrong", "unjudged"].map((key) => h("td", { class: "right" }, count(each[key]))))))) : h("p", { class: "pad dim" }, "No alarm in this time."));

  async function draw() {
    const [f, report] = await Promise.all([get("alarms/figures", { days }, signal), get("report", { days }, signal)]);
    const all = report.false_alarms;
    const kind = { acceptable: "ok", manageable: "warn", "too early to tell": "", "nothing watched": "" }[f.verdict] ?? "bad";
    const most = Math.max(1, ...f.hours);
    const bars = f.hours.map((n, i) => {
      const bar = h("i", { title: `${n} alarm${n === 1 ? "" : "s"}, ${f.hours.length - i} h ago`, class: n > f.manageable ? "bad" : n > f.acceptable ? "warn" : "" });
      bar.style.height = `${Math.max(n ? 6 : 1, (100 * n) / most)}%`;
      return bar;
    });
    fill(content,
      h("div", { class: "tiles" },
        tile("Alarms an hour", f.is_short ? "–" : f.per_hour.toFixed(f.per_hour < 10 ? 1 : 0), f.verdict === "nothing watched" ? "no device yet" : `${f.verdict}; up to ${f.acceptable} acceptable, ${f.manageable} manageable`, kind),
        tile("Alarms", count(f.alarms), `${count(f.open)} open, ${count(f.unacknowledged)} not acknowledged`),
        tile("Busiest ten minutes", count(f.busiest), "more than 10 is a flood", f.busiest > 10 ? "bad" : "ok"),
        tile("Floods", count(f.floods), `${(100 * f.flood_share).toFixed(1)} % of the time`, f.floods ? "bad" : "ok"),
        tile("From the ten worst series", `${Math.round(100 * f.top_share)} %`, "of all alarms"),
        tile("Chattering", count(f.chattering.length), "three alarms in a minute; should be 0", f.chattering.length ? "bad" : "ok"),
        tile("False alarms", count(all.wrong), `marked wrong${all.allowed === null ? "" : `, ${few(all.allowed)} allowed`}; ${count(all.right)} right, ${count(all.unjudged)} not judged`, all.exceeded ? "bad" : "ok"),
        tile("Stale", count(f.stale.length), "open for more than a day", f.stale.length ? "warn" : "ok")),
      h("section", { class: "panel" }, h("h2", {}, "Alarms by hour"), h("div", { class: "hours", role: "img", "aria-label": `Alarms by hour; at most ${most} in one hour` }, bars)),
      h("p", { class: "hint" }, "By severity: ", Object.entries(f.severities).map(([name, n]) => `${name} ${count(n)}`).join(", ") || "none", "."),
      h("div", { class: "two uneven" }, list("Most alarms", f.top, "No alarm in this time."), list("Chattering", f.chattering, "None. Flapping readings make one alarm.")),
      h("div", { class: "two uneven" }, budgets("False alarms by site", report.sites), budgets("False alarms by device", report.devices)),
      h("p", { class: "hint" }, `The budget is ${report.budget}. An alarm is false where somebody has marked it wrong or expected. The same, with what is silent and how storage grows: `, h("b", {}, "driftline report"), "."));
  }
  await draw();
}
