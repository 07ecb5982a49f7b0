// The fleet: every device, those in trouble first. Rows exist only where they are seen, so thousands of devices are fine.

import { allDevices, deviceLink, follow, get, repeat, report } from "./api.js";
import { buttonGroup, fill, h, keepInAddress, setText, slash } from "./dom.js";
import { lastWords } from "./device_states.js";
import { ago, count, number, rate } from "./format.js";
import { lives, silence } from "./lives.js";
import { newest, pulse, rateOf } from "./pulse.js";
import { drawSpark, Spark, sparkColors, sparkPoints } from "./spark.js";

const rowHeight = 58;
const cellWidth = 244;
const beyond = 4;
const looked = 12;
const recent = 600e9;
const order = { alarm: 0, silent: 1, refused: 2, odd: 3, quiet: 4, warming: 5, ok: 6 };
const words = { alarm: "Alarm", silent: "Silent", refused: "Refused", odd: "Unusual", quiet: "Quiet", warming: "Warming up", ok: "Normal" };
const collator = new Intl.Collator("en", { numeric: true });
const chips = { alarm: "alarm", silent: "silent", refused: "warning", odd: "warning", quiet: "silent", warming: "warming", ok: "ok" };
// Offered to choose from only where a device is so.
const rare = ["refused", "quiet"];
// Of states, unlike numbers, the last word is shown.
const spoken = new Set(["state", "text"]);

const isAway = (device) => device.life === "silent" || device.life === "offline";
const isWarming = (device) => device.life === "new" || device.metrics.some((metric) => metric.warming);

export async function showFleet({ root, search, signal }) {
  const sparks = new Map();
  const asked = new Set();
  let said = new Map();
  const rows = new Map();
  let devices = [];
  let deviceOf = new Map();
  let alarmed = new Map();
  let open = new Set();
  let ranks = new Map();
  /** @type {Record<string, number>} */
  let tally = {};
  let shown = [];
  let total = 0;
  let now = 0;
  let colors = sparkColors();
  let trouble = search.get("state") ?? "all";
  let grouping = search.get("group") ?? "";
  const folded = new Set();
  let about = null;

  const tiles = {};
  const tileRow = h("div", { class: "tiles" });
  for (const [key, label, state] of [["devices", "Devices", "all"], ["alarm", "In alarm", "alarm"], ["silent", "Silent", "silent"], ["warming", "Warming up", "warming"]]) {
    const value = h("b", {}, "–");
    const small = h("small");
    const tile = h("button", { class: "tile", type: "button", "aria-pressed": "false", onclick: () => choose(state) }, h("span", {}, label), value, small);
    tiles[key] = { tile, value, small, state };
    tileRow.append(tile);
  }
  for (const [key, label] of [["points", "Points per second"], ["anomalies", "Anomalies found"]]) {
    const value = h("b", {}, "–");
    const small = h("small");
    tiles[key] = { value, small };
    tileRow.append(h("div", { class: "tile" }, h("span", {}, label), value, small));
  }

  const filter = h("input", { type: "search", placeholder: `Filter by device, label or metric${slash()}`, "aria-label": "Filter by device, label or metric", value: search.get("filter") ?? "", oninput: () => { remember(); pick(); } });
  const states = buttonGroup("State", [["all", "All"], ["alarm", "Alarm"], ["silent", "Silent"], ["refused", "Refused"], ["odd", "Unusual"], ["quiet", "Quiet"], ["warming", "Warming"], ["ok", "Normal"]], trouble, (value) => choose(value));
  const found = h("span", { class: "dim", role: "status" });
  const groups = h("select", { "aria-label": "Group by", onchange: () => { grouping = groups.value; folded.clear(); remember(); pick(); } });
  const body = h("div", { class: "rows" });
  const nothing = h("div", { class: "empty", hidden: true });
  const list = h("section", { class: "panel fleet", "aria-label": "Devices" },
    h("div", { class: "fleet-head" }, h("span", {}, "Device"), h("span", {}, "State"), h("span", {}, "Metrics"), h("span", {}, "Last reading")), body, nothing);
  fill(root, h("h1", { class: "unseen" }, "Fleet"), tileRow, h("div", { class: "bar" }, filter, states, h("span", { class: "grow" }), found, groups), list);

  function remember() {
    keepInAddress("#/", { state: trouble === "all" ? undefined : trouble, filter: filter.value, group: grouping || undefined });
  }

  // By what devices can be grouped: the levels of their names before the last, and every label that one has.
  function offerGroups() {
    const labels = new Set(devices.flatMap((device) => Object.keys(device.labels)));
    const choices = [["", "no groups"], ["site", "by site"], ...[...labels].sort().map((label) => [`label ${label}`, `by ${label}`])];
    if (choices.map(([value]) => value).join("\n") === [...groups.options].map((option) => option.value).join("\n")) return;
    fill(groups, choices.map(([value, text]) => h("option", { value, selected: value === grouping }, text)));
  }

  function groupOf(device) {
    if (grouping === "site") return device.device.includes("/") ? device.device.slice(0, device.device.lastIndexOf("/")) : "no site";
    return device.labels[grouping.slice("label ".length)] ?? `no ${grouping.slice("label ".length)}`;
  }

  // The devices in groups, the group of the worst device first, each group behind a row of its own.
  function grouped(found) {
    const members = new Map();
    for (const device of found) {
      const group = groupOf(device);
      if (!members.has(group)) members.set(group, []);
      members.get(group).push(device);
    }
    return [...members].flatMap(([group, inside]) => {
      const head = { device: `\u0000${group}`, group, inside };
      return folded.has(group) ? [head] : [head, ...inside];
    });
  }

  function choose(state) {
    trouble = state;
    remember();
    states.choose(state);
    pick();
  }

  // Whether the metric has an alarm, its newest points hold an anomaly, or its last alarm began within ten minutes of its last reading.
  function isOdd(device, metric) {
    return open.has(metric.series) || Boolean(sparks.get(metric.series)?.odd) || (alarmed.get(metric.series) ?? -Infinity) > (device.last_event ?? 0) - recent;
  }

  // The metrics in alarm stand first, then the odd ones.
  function weight(device, metric) {
    return open.has(metric.series) ? 2 : Number(isOdd(device, metric));
  }

  // What the filter looks for, put together once for a device.
  function textOf(device) {
    device.text ??= [device.device, device.name, ...Object.values(device.labels), ...device.metrics.map((metric) => metric.metric)].join("\n").toLowerCase();
    return device.text;
  }

  // Places in the order of names: comparing a hundred thousand names at every key would hold the page up.
  function rank() {
    if (ranks.size === devices.length && devices.every((device) => ranks.has(device.device))) return;
    ranks = new Map(devices.map((device) => device.device).sort(collator.compare).map((name, i) => [name, i]));
  }

  function stateOf(device) {
    if (device.open_alarms) return "alarm";
    if (isAway(device)) return "silent";
    if (device.life === "refused") return "refused";
    if (device.metrics.some((metric) => isOdd(device, metric))) return "odd";
    if (device.life === "quiet") return "quiet";
    return isWarming(device) ? "warming" : "ok";
  }

  // A silent device counts as such whether its alarm is open or not; one that warms up, whatever else is said of it.
  function isIn(device, state) {
    return device.state === state || (state === "silent" && isAway(device)) || (state === "warming" && isWarming(device));
  }

  function wordOf(device) {
    if (device.open_alarms > 1) return `${device.open_alarms} alarms`;
    if (isAway(device)) return lives[device.life].word;
    return device.state === "warming" && !device.metrics.some((metric) => metric.warming) ? lives.new.word : words[device.state];
  }

  // Puts the devices in order, those in trouble first, and shows them.
  function arrange() {
    for (const device of devices) device.state = stateOf(device);
    tally = Object.fromEntries(Object.keys(order).map((state) => [state, 0]));
    for (const device of devices) {
      tally[device.state] += 1;
      for (const state of ["silent", "warming"]) if (device.state !== state && isIn(device, state)) tally[state] += 1;
    }
    devices.sort((a, b) => order[a.state] - order[b.state] || b.open_alarms - a.open_alarms || ranks.get(a.device) - ranks.get(b.device));
    offerGroups();
    setText(tiles.devices.value, count(devices.length));
    setText(tiles.devices.small, `${count(devices.reduce((n, device) => n + device.metrics.length, 0))} series`);
    for (const key of ["alarm", "silent", "warming"]) setText(tiles[key].value, count(tally[key]));
    tiles.alarm.value.className = tally.alarm ? "bad" : "";
    tiles.silent.value.className = tally.silent ? "warn" : "";
    pick();
  }

  // Shows those of the devices that are asked for.
  function pick() {
    const words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    for (const state of rare) states.querySelector(`[data-value="${state}"]`).hidden = !tally[state] && trouble !== state;
    shown = devices.filter((device) =>
      (trouble === "all" || isIn(device, trouble)) &&
      (!words.length || words.every((word) => textOf(device).includes(word))));
    const many = shown.length;
    if (grouping) shown = grouped(shown);
    for (const { tile, state } of Object.values(tiles)) tile?.setAttribute("aria-pressed", String(state === trouble && trouble !== "all"));
    const left = total > devices.length ? `${count(devices.length)} of ${count(total)} devices loaded` : "";
    setText(found, left || (many === devices.length ? "" : `${count(many)} of ${count(devices.length)} shown`));
    nothing.hidden = shown.length > 0;
    if (!shown.length) {
      fill(nothing, devices.length
        ? [h("b", {}, "No device matches"), "Change the filter or the state above."]
        : whyEmpty());
    }
    body.style.height = `${shown.length * rowHeight}px`;
    draw();
  }

  // Why no device is there: the broker's trouble, or what is listened to and how to send something.
  function whyEmpty() {
    const trouble = (pulse.health?.stages ?? []).find((stage) => stage.status !== "green" && ["broker", "engine"].includes(stage.stage));
    if (trouble) {
      return [h("b", {}, "No device yet"), `${trouble.stage}: ${trouble.message}`,
        trouble.stage === "engine" ? h("p", {}, "What devices send meanwhile is kept, and shown once this is over.") : ""];
    }
    if (!about) return [h("b", {}, "No device yet"), "Devices appear here with their first reading."];
    const { hostname, port } = new URL(about.broker.replace(/^mqtts?/, "http"));
    return [h("b", {}, "No device yet"),
      h("p", {}, `Listening at ${about.broker} to ${about.filters.join("  ")}. Devices appear here with their first reading. To send one:`),
      h("pre", { class: "mono", tabindex: "0" }, `mosquitto_pub -h ${hostname} -p ${port || 1883} -t plant/pump-01 -m '{"temperature": 21.5}'`)];
  }

  function makeRow() {
    const parts = { path: h("span", { class: "path" }), leaf: h("span"), chip: h("span", { class: "chip" }), cells: h("div", { class: "cells" }), seen: h("span", { class: "seen" }) };
    const element = h("a", { class: "device-row" }, h("div", { class: "name" }, parts.leaf, parts.path), h("div", {}, parts.chip), parts.cells, parts.seen);
    return { element, ...parts, shownCells: [], more: h("span", { class: "more" }), why: h("span", { class: "why" }) };
  }

  function makeGroup(group) {
    const parts = { name: h("b"), told: h("span", { class: "dim" }) };
    const element = h("button", { type: "button", class: "device-row group-row", onclick: () => { if (!folded.delete(group)) folded.add(group); pick(); } }, parts.name, parts.told);
    return { element, ...parts };
  }

  function drawGroup(row, { group, inside }, index) {
    const tally = Object.keys(order).map((state) => [state, inside.filter((device) => device.state === state).length]).filter(([, many]) => many);
    setText(row.name, `${folded.has(group) ? "▸" : "▾"} ${group}`);
    setText(row.told, `${count(inside.length)} device${inside.length === 1 ? "" : "s"}: ${tally.map(([state, many]) => `${count(many)} ${state === "alarm" ? "in alarm" : words[state].toLowerCase()}`).join(", ")}`);
    row.element.setAttribute("aria-expanded", String(!folded.has(group)));
    row.element.style.top = `${index * rowHeight}px`;
    row.element.dataset.position = index + 1;
  }

  function makeCell() {
    const parts = { metric: h("span", { class: "metric" }), canvas: h("canvas", { "aria-hidden": "true" }), number: document.createTextNode(""), unit: h("small") };
    const value = h("span", { class: "value" }, parts.number, parts.unit);
    return { element: h("div", { class: "cell" }, parts.metric, parts.canvas, value), value, ...parts };
  }

  function draw() {
    const top = body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / rowHeight) - beyond);
    const last = Math.max(first, Math.min(shown.length, Math.ceil((innerHeight - top) / rowHeight) + beyond));
    const seen = new Set();
    const missing = [];
    const cellsWide = Math.max(1, Math.floor((body.clientWidth - (innerWidth > 900 ? 540 : 300)) / cellWidth));
    for (let i = first; i < last; i += 1) {
      const device = shown[i];
      seen.add(device.device);
      let row = rows.get(device.device);
      if (!row) {
        row = device.group === undefined ? makeRow() : makeGroup(device.group);
        rows.set(device.device, row);
        body.append(row.element);
      }
      if (device.group === undefined) drawRow(row, device, i, cellsWide, missing);
      else drawGroup(row, device, i);
    }
    for (const [name, row] of rows) {
      if (!seen.has(name)) {
        row.element.remove();
        rows.delete(name);
      }
    }
    // Readers of the screen and the Tab key meet rows as the eye does.
    const focused = document.activeElement;
    shown.slice(first, last).forEach(({ device }, i) => {
      const { element } = rows.get(device);
      if (body.children[i] !== element) body.insertBefore(element, body.children[i] ?? null);
    });
    if (focused !== document.activeElement && body.contains(focused)) focused.focus();
    if (missing.length) load(missing);
  }

  function drawRow(row, device, index, cellsWide, missing) {
    row.element.className = `device-row is-${device.state}`;
    row.element.href = deviceLink(device.device);
    row.element.style.top = `${index * rowHeight}px`;
    row.element.dataset.position = index + 1;
    const cut = device.device.lastIndexOf("/");
    const renamed = device.name !== device.device;
    setText(row.leaf, renamed ? device.name : device.device.slice(cut + 1));
    setText(row.path, renamed ? device.device : cut > 0 ? device.device.slice(0, cut) : "");
    row.element.title = device.device;
    row.chip.className = `chip ${chips[device.state]}`;
    setText(row.chip, wordOf(device));
    row.chip.title = device.refusal || lives[device.life]?.meaning || "";
    setText(row.seen, device.last_event === null && device.metrics.length ? "–" : ago(device.last_event, now));
    const metrics = device.metrics.filter((metric) => metric.metric !== silence).sort((a, b) => weight(device, b) - weight(device, a));
    const fitting = metrics.slice(0, metrics.length > cellsWide ? cellsWide : metrics.length);
    while (row.shownCells.length < fitting.length) row.shownCells.push(makeCell());
    const why = device.state === "refused" ? device.refusal : "";
    setText(row.why, why);
    fill(row.cells, why ? row.why : null, row.shownCells.slice(0, fitting.length).map((cell) => cell.element), metrics.length > fitting.length ? row.more : null);
    setText(row.more, `+${metrics.length - fitting.length}`);
    fitting.forEach((metric, i) => drawCell(row.shownCells[i], device, metric));
    // Those that do not fit are known too, up to a bound, so that the odd one among them moves to the front.
    for (const metric of metrics.slice(0, looked)) if (!asked.has(metric.series)) missing.push(metric.series);
  }

  function drawCell(cell, device, metric) {
    const spark = sparks.get(metric.series);
    const isOpen = open.has(metric.series);
    cell.element.className = isOpen ? "cell alarm" : isOdd(device, metric) ? "cell odd" : "cell";
    setText(cell.metric, metric.warming ? `${metric.metric} · warming ${metric.warming.seen}/${metric.warming.needed}` : metric.metric);
    const word = spoken.has(metric.kind) ? said.get(device.device)?.get(metric.metric) : undefined;
    const text = word ?? (spark && spark.last !== null ? number(spark.last) : "");
    if (cell.number.data !== text) cell.number.data = text;
    cell.value.title = text;
    setText(cell.unit, spark && spark.last !== null ? metric.unit : "");
    drawSpark(cell.canvas, spark, isOpen ? colors : { ...colors, bad: colors.warn });
  }

  async function load(series) {
    for (const each of series) asked.add(each);
    for (let i = 0; i < series.length; i += 100) {
      try {
        const { sparklines } = await get("sparklines", { points: sparkPoints, series: series.slice(i, i + 100) }, signal);
        for (const spark of sparklines) sparks.set(spark.series, new Spark(spark));
      } catch (error) {
        report(error);
      }
    }
    if (signal.aborted) return;
    arrange();
    loadWords().catch(report);
  }

  // What the devices on the screen said last, of their states in words.
  async function loadWords() {
    const asked = devices.filter((device) => rows.has(device.device) && device.metrics.some((metric) => spoken.has(metric.kind))).map((device) => device.device);
    if (!asked.length) return;
    const found = await lastWords(asked);
    said = new Map([...said, ...found]);
    if (!signal.aborted) draw();
  }

  let queued = 0;
  const drawSoon = () => { queued ||= requestAnimationFrame(() => { queued = 0; if (!signal.aborted) draw(); }); };
  addEventListener("scroll", drawSoon, { passive: true, signal });
  addEventListener("resize", drawSoon, { signal });
  addEventListener("driftline-theme", () => { colors = sparkColors(); drawSoon(); }, { signal });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== filter) {
      event.preventDefault();
      filter.focus();
    }
    const down = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (down && (document.activeElement === filter || body.contains(document.activeElement))) {
      event.preventDefault();
      const here = shown.findIndex((device) => rows.get(device.device)?.element === document.activeElement);
      const next = shown[Math.min(shown.length - 1, Math.max(0, here + down))];
      rows.get(next?.device)?.element.focus();
    }
  }, { signal });

  const drawCounts = () => {
    if (!newest()) return;
    setText(tiles.points.value, rate(rateOf((c) => c.stored + c.late)));
    setText(tiles.anomalies.value, count(newest().anomalies));
    setText(tiles.anomalies.small, `of ${count(newest().stored)} points`);
  };
  pulse.addEventListener("counts", drawCounts, { signal });
  pulse.addEventListener("health", () => { if (!devices.length) arrange(); }, { signal });
  drawCounts();
  get("about", {}, signal).then((found) => { about = found; if (!devices.length) arrange(); }).catch(report);

  function take(reply) {
    devices = reply.devices.slice();
    now = reply.time;
    total = reply.total;
    deviceOf = new Map(devices.flatMap((device) => device.metrics.map((metric) => [metric.series, device])));
    rank();
    arrange();
  }

  // Of a large fleet the first devices are shown at once, then those that are loaded by now, less often the more they are.
  let loadedAt = 0;
  function partly(reply) {
    if (signal.aborted || reply.devices.length < 2 * loadedAt) return;
    loadedAt = reply.devices.length;
    take(reply);
  }

  let looks = 0;
  await repeat(async () => {
    const [reply, { alarms }] = await Promise.all([allDevices(signal, looks ? undefined : partly), get("alarms", { limit: 500 }, signal)]);
    alarmed = new Map(alarms.map((alarm) => [alarm.series, alarm.opened]).sort((a, b) => a[1] - b[1]));
    open = new Set(alarms.filter((alarm) => alarm.state !== "cleared").map((alarm) => alarm.series));
    const hour = alarms.filter((alarm) => alarm.opened > reply.time - 3600e9).length;
    setText(tiles.alarm.small, hour ? `${count(hour)} in the last hour` : "");
    take(reply);
    if (looks % 4 === 0) loadWords().catch(report);
    looks += 1;
  }, 4, signal);

  follow({ points: "latest" }, {
    points(columns) {
      columns.series.forEach((series, i) => {
        sparks.get(series)?.push(columns.time[i], columns.value[i], columns.anomaly[i]);
        const device = deviceOf.get(series);
        if (device) device.last_event = Math.max(device.last_event ?? 0, columns.time[i]);
      });
      now = Date.now() * 1e6;
      drawSoon();
    },
    alarms(alarms) {
      for (const alarm of alarms) {
        const device = deviceOf.get(alarm.series);
        alarmed.set(alarm.series, alarm.opened);
        if (alarm.state === "cleared") open.delete(alarm.series); else open.add(alarm.series);
        if (device && !device.muted_at && alarm.state === "open" && !(alarm.shelved_until > Date.now() * 1e6)) device.open_alarms = Math.max(1, device.open_alarms);
      }
      arrange();
    },
    gap() { asked.clear(); draw(); },
  }, signal);
}
