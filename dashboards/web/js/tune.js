// Drag the budget, see the month: what a device's last days would have alarmed under other settings, beside what they did.

import { allDevices, deviceLink, get, may, send } from "./api.js";
import { ask, attempt, field, tell } from "./dialog.js";
import { buttonGroup, fill, h, keepInAddress, setText } from "./dom.js";
import { count, duration } from "./format.js";
import { TunedSeries } from "./tune_series.js";

// From touchy to calm.
const budgets = ["10 per sensor per day", "3 per sensor per day", "1 per sensor per day", "3 per sensor per week", "1 per sensor per week", "2 per sensor per month", "1 per sensor per month", "4 per sensor per year", "1 per sensor per year"];
const spans = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"]];
const mostShown = 12;
const mostOffered = 100;

// "22-6, 12:30-13" as pairs of hours.
function hoursOf(text) {
  return text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => {
    const match = /^(\d{1,2})(?::(\d\d))?\s*(?:-|–|to)\s*(\d{1,2})(?::(\d\d))?$/.exec(part);
    if (!match) throw new Error(`Hours in which nothing counts: “${part}”, expected hours like 22-6`);
    return [Number(match[1]) + Number(match[2] ?? 0) / 60, Number(match[3]) + Number(match[4] ?? 0) / 60];
  });
}

const hourText = (hour) => `${Math.floor(hour)}${hour % 1 ? `:${String(Math.round((hour % 1) * 60)).padStart(2, "0")}` : ""}`;
const hoursText = (hours) => (hours ?? []).map(([from, to]) => `${hourText(from)}-${hourText(to)}`).join(", ");

// Without a device: which of them it is about, those with alarms first.
async function chooseDevice(root, signal) {
  const devices = (await allDevices(signal)).devices.filter((device) => device.metrics.length > 0);
  devices.sort((a, b) => b.open_alarms - a.open_alarms);
  fill(root,
    h("div", { class: "crumbs" }, h("a", { href: "#/" }, "Fleet"), h("span", { class: "dim" }, "/"), h("h1", {}, "Tune")),
    devices.length
      ? h("section", { class: "panel scroll" }, h("h2", {}, "Which device alarms too often, or too seldom?"),
        h("table", {}, h("tbody", {}, devices.slice(0, mostOffered).map((each) => h("tr", {},
          h("td", { class: "device" }, h("a", { href: `#/tune/${encodeURIComponent(each.device)}` }, h("b", {}, each.name)), each.name === each.device ? null : h("span", { class: "sub" }, each.device)),
          h("td", { class: "right" }, each.open_alarms ? h("span", { class: "chip alarm" }, `${each.open_alarms} open alarm${each.open_alarms > 1 ? "s" : ""}`) : null))))),
        devices.length > mostOffered ? h("p", { class: "pad dim" }, `${count(devices.length - mostOffered)} more: choose one in the `, h("a", { href: "#/" }, h("u", {}, "fleet")), ".") : null)
      : h("div", { class: "panel empty" }, h("b", {}, "No device yet"), h("a", { href: "#/" }, h("u", {}, "Go to the fleet"))));
}

export async function showTune({ root, name, search, signal }) {
  if (!name) { await chooseDevice(root, signal); return; }
  let days = search.get("days") ?? "30";
  let metric = search.get("metric") ?? "";
  let at = budgets.indexOf(search.get("budget"));
  let found = await get("tune", { device: name, budget: budgets[at], metric: metric || undefined, days }, signal);
  if (at < 0) at = Math.max(0, budgets.indexOf(found.budget_now));
  let compared = null;

  const slider = h("input", { type: "range", id: "budget", min: 0, max: budgets.length - 1, step: 1, value: at, "aria-describedby": "budget-now", oninput: () => change() });
  slider.value = at;
  const chosen = h("output", { for: "budget" });
  const inForce = h("p", { id: "budget-now", class: "dim" });
  const choice = buttonGroup("Time", spans, days, (value) => { days = value; choice.choose(value); load(); });
  const verdict = h("p", { class: "verdict", role: "status" });
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Readings scored again", hidden: true });
  const rows = h("div", { class: "stack" });
  const scope = h("select", { "aria-label": "Metric", onchange: () => { metric = scope.value; takeFacts(); load(); } },
    h("option", { value: "" }, "all metrics"), found.series.map((each) => h("option", { value: each.metric, selected: each.metric === metric }, each.metric)));
  const facts = h("form", { class: "facts", onchange: () => change(), onsubmit: (event) => { event.preventDefault(); change(); } });
  const more = h("details", {}, h("summary", {}, "What you know of it: side, smallest deviation, hours, detector"), facts);
  const compare = h("div", { class: "acts" });
  const apply = may("admin") ? h("div", { class: "acts" },
    h("button", { type: "button", class: "primary", onclick: () => put(name) }, "Use for this device"),
    h("button", { type: "button", onclick: () => put(null) }, "Use budget for all devices")) : null;
  fill(root,
    h("div", { class: "crumbs" }, h("a", { href: "#/" }, "Fleet"), h("span", { class: "dim" }, "/"), h("a", { href: deviceLink(name) }, name), h("span", { class: "dim" }, "/"), h("h1", {}, "Tune")),
    h("section", { class: "panel tuning" },
      h("div", { class: "bar" }, h("label", { for: "budget" }, "False alarms that you are willing to see"), h("span", { class: "dim" }, "for"), scope),
      h("div", { class: "slide" }, h("span", { class: "dim" }, "touchy"), slider, h("span", { class: "dim" }, "calm"), chosen),
      inForce, more, h("div", { class: "bar" }, choice, compare, h("span", { class: "grow" }), apply), bar, verdict),
    h("p", { class: "hint" }, "Drag over a metric's values to mark a stretch as a fault or as normal: settings are compared against it."),
    rows);

  const shown = new Map();
  signal.addEventListener("abort", () => shown.forEach((each) => each.close()));

  // What is known of the metric chosen, or of all where they agree.
  function known() {
    const about = found.series.filter((each) => !metric || each.metric === metric);
    const same = (read) => (about.length && about.every((each) => JSON.stringify(read(each)) === JSON.stringify(read(about[0]))) ? read(about[0]) : undefined);
    return {
      direction: same((each) => each.facts.direction ?? "both") ?? "both",
      smallest_deviation: same((each) => each.facts.smallest_deviation) ?? "",
      smallest_relative_deviation: same((each) => each.facts.smallest_relative_deviation) ?? "",
      shortest_duration: same((each) => each.facts.shortest_duration) ?? "",
      ignored_hours: hoursText(same((each) => each.facts.ignored_hours)),
      detector: same((each) => (each.detectors.length === 1 ? each.detectors[0] : "")) ?? "",
      unit: same((each) => each.unit) ?? "",
    };
  }

  let before = known();
  function takeFacts() {
    before = known();
    const unit = before.unit ? `, ${before.unit}` : "";
    fill(facts,
      field("A deviation counts", "direction", { tag: "select", choices: [["both", "on both sides"], ["above", "only above"], ["below", "only below"]], value: before.direction }),
      field(`Smallest deviation that matters${unit}`, "smallest_deviation", { type: "number", min: 0, step: "any", value: before.smallest_deviation }),
      field("The same, as a share of what is expected", "smallest_relative_deviation", { type: "number", min: 0, step: "any", placeholder: "0.1 is a tenth", value: before.smallest_relative_deviation }),
      field("Has to last at least", "shortest_duration", { placeholder: "2m", value: before.shortest_duration }),
      field("Hours in which nothing counts", "ignored_hours", { placeholder: "22-6", value: before.ignored_hours }),
      field("Scored by", "detector", { tag: "select", choices: [["", "as its route says"], ...found.detectors.map((each) => [each, each])], value: before.detector }));
  }

  // What differs from what is in force, as the API takes it.
  function candidate() {
    const given = Object.fromEntries(new FormData(facts));
    /** @type {Record<string, any>} */
    const differs = { metric: metric || null };
    if (budgets[at] !== found.budget_now) differs.budget = budgets[at];
    for (const key of ["direction", "detector", "shortest_duration"]) if (given[key] && given[key] !== before[key]) differs[key] = given[key];
    for (const key of ["smallest_deviation", "smallest_relative_deviation"]) {
      if (given[key] !== String(before[key])) differs[key] = Number(given[key] || 0);
    }
    if (given.ignored_hours !== before.ignored_hours) differs.ignored_hours = hoursOf(given.ignored_hours);
    return differs;
  }

  let timer = 0;
  function change() {
    at = Number(slider.value);
    drawBudget();
    clearTimeout(timer);
    timer = setTimeout(load, 120);
  }

  let asked = 0;
  async function load() {
    const mine = (asked += 1);
    const isWanted = () => mine === asked && !signal.aborted;
    keepInAddress(`#/tune/${encodeURIComponent(name)}`, { budget: budgets[at], days, metric: metric || undefined });
    await attempt(async () => {
      let work = await send("POST", "tune/previews", { device: name, days: Number(days), ...candidate(), budget: budgets[at] });
      while (!work.result && !work.error && isWanted()) {
        bar.hidden = false;
        bar.value = work.rows ? work.done / work.rows : 0;
        setText(verdict, work.rows ? `Scoring again: ${count(work.done)} of ${count(work.rows)} rows` : "Scoring again: reading what is stored");
        await new Promise((resolve) => { setTimeout(resolve, 250); });
        work = await get(`tune/previews/${work.work}`, {}, signal);
      }
      if (mine !== asked) return;
      bar.hidden = true;
      if (work.error) { setText(verdict, ""); throw new Error(work.error); }
      found = { ...work.result, took: work.seconds };
      draw();
    });
    if (mine === asked) bar.hidden = true;
  }

  function drawBudget() {
    setText(chosen, budgets[at]);
    slider.setAttribute("aria-valuetext", budgets[at]);
  }

  // The time in which there are readings, where that is less than was asked for.
  function lookedAt() {
    const seconds = (found.end - found.start) / 1e9;
    return seconds < 0.95 * 86400 * Number(days) ? `in the ${duration(seconds)} that there are readings of` : `in these ${days} days`;
  }

  function draw() {
    drawBudget();
    setText(inForce, `In force: ${found.budget_now}. Drag, and see what the past would have been.`);
    const were = found.series.flatMap((each) => each.were);
    const gone = were.filter((was) => !was.kept);
    const would = found.series.reduce((sum, each) => sum + each.would.length, 0);
    const marked = found.verdict.split("; ").slice(1).join("; ");
    setText(verdict, [`${count(would)} alarm${would === 1 ? "" : "s"} would have been raised ${lookedAt()}; ${count(were.length)} ${were.length === 1 ? "was" : "were"}${gone.length ? `, of which ${count(gone.length)} would not have been` : ""}`,
      marked, found.rescored ? `Scored again from the readings in ${duration(found.took)}` : ""].filter(Boolean).join(". ").concat("."));
    fill(compare, h("button", { type: "button", onclick: () => { compared = compared ? null : { found, text: `Kept: ${chosen.textContent}, ${found.verdict}` }; draw(); } }, compared ? "Compare no more" : "Keep, to compare with the next"),
      compared ? h("span", { class: "dim" }, compared.text) : null);
    const order = found.series.filter((each) => !metric || each.metric === metric)
      .sort((a, b) => b.were.length + b.would.length - a.were.length - a.would.length).slice(0, mostShown);
    fill(rows, order.map((each) => {
      if (!shown.has(each.series)) shown.set(each.series, new TunedSeries(name, load));
      const one = shown.get(each.series);
      one.draw(each, found, compared?.found.series.find((other) => other.series === each.series));
      return one.element;
    }));
    order.forEach((each) => shown.get(each.series).load(found.start, found.end, signal).catch((error) => { if (!signal.aborted) tell(error.message, "bad"); }));
  }

  function put(device) {
    return attempt(async () => {
      const change_ = device ? { ...candidate(), device } : { budget: budgets[at], device };
      if (device && Object.keys(change_).length === 2) { tell("That is in force already"); return; }
      const { file, difference } = await send("POST", "tune", change_);
      if (!difference) { tell("That is in force already"); return; }
      await ask({
        title: device ? `Use this for ${device}${metric ? `, ${metric}` : ""}` : `Use “${budgets[at]}” for all devices`,
        text: `This changes ${file}, and takes effect within a second. What was learned stays; a detector that is new learns from stored history.`, confirm: "Write and apply",
        fields: [h("pre", { class: "mono diff", tabindex: "0" }, difference)],
        submit: async () => {
          await send("POST", "tune", { ...change_, write: true });
          tell(`In force, for ${device ?? "all devices"}`);
        },
      });
    });
  }

  takeFacts();
  draw();
}
