// Drag the budget, see the month: what a device's last days would have alarmed, beside what they did.

import { deviceLink, get, instant, may, send } from "./api.js";
import { ask, attempt, tell } from "./dialog.js";
import { buttonGroup, fill, h, keepInAddress, setText } from "./dom.js";
import { alarmRange } from "./device.js";
import { count, moment } from "./format.js";

// From touchy to calm.
const budgets = ["10 per sensor per day", "3 per sensor per day", "1 per sensor per day", "3 per sensor per week", "1 per sensor per week", "2 per sensor per month", "1 per sensor per month", "4 per sensor per year", "1 per sensor per year"];
const spans = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"]];

export async function showTune({ root, name, search, signal }) {
  let days = search.get("days") ?? "30";
  let at = budgets.indexOf(search.get("budget"));
  let found = await get("tune", { device: name, budget: budgets[at] ?? budgets[4], days }, signal);
  const now = budgets.indexOf(found.budget_now);
  if (at < 0) at = Math.max(0, now);

  const slider = h("input", { type: "range", id: "budget", min: 0, max: budgets.length - 1, step: 1, value: at, "aria-describedby": "budget-now", oninput: () => change() });
  slider.value = at;
  const chosen = h("output", { for: "budget" });
  const choice = buttonGroup("Time", spans, days, (value) => { days = value; choice.choose(value); load(); });
  const verdict = h("p", { class: "verdict", role: "status" });
  const rows = h("div", { class: "stack" });
  const apply = may("admin") ? h("div", { class: "acts" },
    h("button", { type: "button", class: "primary", onclick: () => put(name) }, "Use for this device"),
    h("button", { type: "button", onclick: () => put(null) }, "Use for all devices")) : null;
  fill(root,
    h("div", { class: "crumbs" }, h("a", { href: "#/" }, "Fleet"), h("span", { class: "dim" }, "/"), h("a", { href: deviceLink(name) }, name), h("span", { class: "dim" }, "/"), h("h1", {}, "Tune")),
    h("section", { class: "panel tuning" },
      h("label", { for: "budget" }, "False alarms that you are willing to see"),
      h("div", { class: "slide" }, h("span", { class: "dim" }, "touchy"), slider, h("span", { class: "dim" }, "calm"), chosen),
      h("p", { id: "budget-now", class: "dim" }, `In force: ${found.budget_now}. Drag, and see what the past would have been.`),
      h("div", { class: "bar" }, choice, h("span", { class: "grow" }), apply), verdict),
    rows);

  let timer = 0;
  function change() {
    at = Number(slider.value);
    setText(chosen, budgets[at]);
    slider.setAttribute("aria-valuetext", budgets[at]);
    clearTimeout(timer);
    timer = setTimeout(load, 120);
  }

  let asked = 0;
  async function load() {
    const mine = (asked += 1);
    keepInAddress(`#/tune/${encodeURIComponent(name)}`, { budget: budgets[at], days });
    const reply = await attempt(() => get("tune", { device: name, budget: budgets[at], days }, signal));
    if (reply && mine === asked) { found = reply; draw(); }
  }

  // Whether an alarm that was would have been, too: one that would have opened before it ended.
  const kept = (was, would) => would.some((each) => each.opened <= (was.cleared ?? Infinity) && (each.cleared ?? Infinity) >= was.opened);

  function draw() {
    setText(chosen, budgets[at]);
    slider.setAttribute("aria-valuetext", budgets[at]);
    const were = found.series.flatMap((each) => each.were);
    const would = found.series.flatMap((each) => each.would);
    const gone = found.series.flatMap((each) => each.were.filter((was) => !kept(was, each.would)));
    const plural = (n) => `${count(n)} alarm${n === 1 ? "" : "s"}`;
    setText(verdict, `${plural(would.length)} would have been raised in these ${days} days; ${plural(were.length)} ${were.length === 1 ? "was" : "were"}${gone.length ? `, of which ${count(gone.length)} would not have been` : ""}.`);
    fill(rows, [...found.series].sort((a, b) => b.were.length + b.would.length - a.were.length - a.would.length).map(strip));
  }

  function strip(each) {
    const marks = (alarms, kind, title) => alarms.slice(0, 400).map((alarm) => {
      const mark = h("i", { class: kind, title: title(alarm) });
      const span = found.end - found.start;
      mark.style.left = `min(${(100 * (alarm.opened - found.start)) / span}%, 100% - 3px)`;
      mark.style.width = `max(3px, ${(100 * ((alarm.cleared ?? found.end) - alarm.opened)) / span}%)`;
      return mark;
    });
    const list = each.were.map((was) => {
      const stays = kept(was, each.would);
      const range = alarmRange(was);
      return h("li", {}, h("span", { class: `chip ${stays ? "open" : ""}` }, stays ? "would be" : "would not be"), " ",
        h("a", { href: deviceLink(name, { from: instant(range.from), to: instant(range.to), series: each.series }) }, `${moment(was.opened)}: ${was.reason}`));
    });
    return h("section", { class: "panel strip-row", "data-series": each.series, "data-would": each.would.length, "data-were": each.were.length },
      h("h2", {}, each.metric, h("span", { class: "dim" }, ` score ${each.threshold.toFixed(1)} raises an alarm${each.threshold_now === null ? "" : `, now ${each.threshold_now.toFixed(1)}`}`)),
      h("div", { class: "timeline" }, h("span", { class: "dim" }, `was ${each.were.length}`), h("div", { class: "lane" }, marks(each.were, "was", (alarm) => `${moment(alarm.opened)}: ${alarm.reason}`)),
        h("span", { class: "dim" }, `would be ${each.would.length}`), h("div", { class: "lane" }, marks(each.would, "would", (alarm) => `${moment(alarm.opened)}, score ${alarm.peak.toFixed(1)}`))),
      list.length ? h("ul", { class: "plain-list" }, list.slice(0, 12)) : null);
  }

  function put(device) {
    return attempt(async () => {
      const change_ = { budget: budgets[at], device };
      const { file, difference } = await send("POST", "tune", change_);
      if (!difference) { tell("That is in force already"); return; }
      await ask({
        title: device ? `Use “${budgets[at]}” for ${device}` : `Use “${budgets[at]}” for all devices`,
        text: `This changes ${file}, and takes effect within a second. What was learned stays.`, confirm: "Write and apply",
        fields: [h("pre", { class: "mono diff", tabindex: "0" }, difference)],
        submit: async () => {
          await send("POST", "tune", { ...change_, write: true });
          tell(`In force: ${budgets[at]}, for ${device ?? "all devices"}`);
        },
      });
    });
  }

  draw();
}
