// The simulator: which simulated devices run, a fault to let begin, what was found of each, and the score card.

import { deviceLink, get, instant, may, repeat, send } from "./api.js";
import { attempt } from "./dialog.js";
import { buttonGroup, fill, h, keepInAddress, setText } from "./dom.js";
import { count, duration, moment } from "./format.js";
import { plain, scorecardSections, share } from "./scorecard.js";

const durations = [["", "as usual for it"], ["30", "30 s"], ["120", "2 min"], ["600", "10 min"], ["3600", "1 h"], ["21600", "6 h"], ["86400", "1 day"]];
const sizes = [["5", "5 usual scatters"], ["10", "10 usual scatters"], ["20", "20 usual scatters"]];
const shownFaults = 25;
const plant = Symbol("plant");

export async function showSimulator({ root, search, signal }) {
  let which = search.get("card") ?? "live";
  const [state, first] = await Promise.all([get("simulator", { faults: 0 }, signal), get("scorecard", {}, signal)]);
  const recorded = first.recorded;
  let { live, faults } = first;
  const tiles = h("div", { class: "tiles" });
  const rows = h("div");
  const card = h("div");
  const choice = buttonGroup("Score card", [["live", "Of this service so far"], ["recorded", "As recorded of the default"]], which, (value) => {
    which = value;
    choice.choose(value);
    keepInAddress("#/simulator", { card: value });
    drawCard();
  });
  fill(root,
    h("div", { class: "crumbs" }, h("h1", {}, "Simulator"), h("span", { class: "dim" }, "devices whose faults are known, and what was found of them")),
    tiles,
    state.fleets.length ? h("div", { class: "two uneven" },
      h("section", { class: "panel scroll" }, h("h2", {}, "Faults, the newest first"), rows),
      injection(state.fleets, () => refresh())) : nothing(state.worlds),
    h("div", { class: "bar crumbs" }, h("h2", {}, "Score card"), choice), card);

  function drawTiles() {
    const tile = (label, value, small = "", kind = "") => h("div", { class: "tile" }, h("span", {}, label), h("b", { class: kind }, value), h("small", {}, small));
    const now = Date.now() * 1e6;
    const lasting = faults.filter((fault) => fault.start <= now && fault.end > now).length;
    fill(tiles,
      state.fleets.map((fleet) => tile(fleet.world, count(fleet.count), `device${fleet.count === 1 ? "" : "s"}, seed ${fleet.seed}`)),
      tile("Faults that last now", count(lasting), live ? `${count(live.overall.faults)} so far` : ""),
      tile("Found", share(live?.overall.found), "of the faults that can be seen"),
      tile("Alarms at a fault", share(live?.overall.precision), "of all alarms"),
      tile("False alarms", plain(live?.overall.false_rate), "a sensor and week"));
  }

  function drawFaults() {
    const now = Date.now() * 1e6;
    fill(rows, faults.length ? h("table", {},
      h("thead", {}, h("tr", {}, ["Fault", "Device", "Found"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, faults.slice(0, shownFaults).map((fault) => h("tr", {},
        h("td", {}, h("b", {}, fault.kind.replaceAll("_", " ")), h("span", { class: "sub" }, `${moment(fault.start)}, ${fault.end > now ? `${duration((fault.end - now) / 1e9)} to go` : `lasted ${duration((fault.end - fault.start) / 1e9)}`}`)),
        h("td", {}, h("a", { href: watchLink(fault) }, fault.device), h("span", { class: "sub" }, fault.metric === "*" ? "the whole device" : fault.metric)),
        h("td", {}, outcome(fault, now))))))
      : h("div", { class: "empty" }, h("b", {}, "Nothing has been wrong yet"), "Let a fault begin, or wait for one."));
  }

  function drawCard() {
    const shown = which === "live" ? live : recorded;
    if (!shown) {
      fill(card, h("div", { class: "panel empty" }, h("b", {}, which === "live" ? "No fault is known yet" : "There is no record"), which === "live" ? "The card begins with the first fault of a simulated device." : "Make one: make scorecard"));
      return;
    }
    const about = which === "live" ? "The alarms of this service against the faults of its simulated devices so far."
      : `The default detectors on plants of every world, ${shown.days} days each. Constants were chosen on other seeds than these: ${shown.seeds.join(", ")}.`;
    fill(card, h("p", { class: "hint" }, about), scorecardSections(shown));
  }

  async function refresh() {
    ({ live, faults } = await get("scorecard", { recorded: false }, signal));
    drawTiles();
    drawFaults();
    if (which === "live") drawCard();
  }

  drawTiles();
  drawFaults();
  drawCard();
  if (state.fleets.length) repeat(refresh, 10, signal);
}

function watchLink(fault) {
  const margin = Math.max(120e9, (fault.end - fault.start) / 2);
  return deviceLink(fault.device, { from: instant(fault.start - margin), to: instant(fault.end + margin) });
}

// What found it: the part of the alarm's score that weighed most, or that readings stayed away.
function foundBy(part) {
  return part === "silent" ? ", as it fell silent" : part ? ` by ${part}` : "";
}

function outcome(fault, now) {
  if (fault.found) return [h("span", { class: "chip ok" }, "found"), h("span", { class: "sub" }, `after ${duration(fault.delay_seconds)}${foundBy(fault.found_by)}`)];
  if (fault.unseen) return [h("span", { class: "chip" }, "cannot be seen"), h("span", { class: "sub" }, fault.unseen)];
  return h("span", { class: `chip ${fault.end > now ? "" : "warning"}` }, fault.end > now ? "not yet" : "missed");
}

// The form that lets a fault begin. What can be chosen follows from the device.
function injection(fleets, done) {
  const devices = new Map(fleets.flatMap((fleet) => fleet.devices.map((each) => [each.device, { ...each.faults, ...Object.fromEntries(each.plant.map((kind) => [kind, [plant]])) }])));
  const select = (name, choices, onchange = () => {}) => h("select", { name, onchange }, choices.map(([value, text]) => h("option", { value }, text)));
  const named = (names) => names.map((name) => [name, name.replaceAll("_", " ")]);
  const device = select("device", named([...devices.keys()]), () => choose());
  const fault = select("fault", [], () => chooseMetric());
  const metric = select("metric", []);
  const seconds = select("seconds", durations);
  const size = select("size", sizes);
  size.value = "10";
  const answer = h("p", { role: "status", class: "pad" });
  const button = h("button", { type: "submit", class: "primary" }, "Let it begin");
  const options = (element, choices) => fill(element, choices.map(([value, text]) => h("option", { value }, text)));

  function choose() {
    const before = fault.value;
    const known = Object.keys(devices.get(device.value) ?? {}).sort();
    options(fault, named(known));
    if (known.includes(before)) fault.value = before;
    chooseMetric();
  }

  function chooseMetric() {
    const metrics = devices.get(device.value)?.[fault.value] ?? [];
    options(metric, metrics.map((each) => (each === plant ? ["", "what it reaches"] : each === "*" ? ["", "the whole device"] : [each, each])));
  }

  choose();
  const labelled = (text, control) => h("label", {}, h("span", {}, text), control);
  const form = h("form", { class: "inject", onsubmit: (event) => {
    event.preventDefault();
    button.disabled = true;
    setText(answer, "Asking the simulator");
    attempt(async () => {
      const told = await send("POST", "simulator/inject", { device: device.value, fault: fault.value, metric: metric.value, seconds: seconds.value ? Number(seconds.value) : null, size: Number(size.value) });
      setText(answer, `It has begun: ${told.answer}.`);
      await done();
    }).then((made) => { if (made === undefined && answer.textContent.startsWith("Asking")) setText(answer, ""); }).finally(() => { button.disabled = false; });
  } }, labelled("Device", device), labelled("Fault", fault), labelled("Metric", metric), labelled("Lasts", seconds), labelled("How large", size), button);
  return h("section", { class: "panel" }, h("h2", {}, "Let a fault begin"),
    may("operator") ? form : h("p", { class: "pad dim" }, "For operators."), answer);
}

function nothing(worlds) {
  return h("section", { class: "panel scroll" }, h("h2", {}, "No simulated device runs on this service's broker"),
    h("p", { class: "pad dim" }, "Start a world beside the service, then open this page again:"),
    h("table", {}, h("tbody", {}, worlds.map((each) => h("tr", {}, h("td", { class: "mono" }, `driftline simulate --world ${each.world} --history 2d`), h("td", {}, each.summary))))));
}
