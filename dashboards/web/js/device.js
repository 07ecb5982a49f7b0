// One device: a chart a metric over a shared time range, live or fixed, and the device's alarms.

import { actionsFor, mayAct, toldOf } from "./alarm_actions.js";
import { deviceLink, devicePath, follow, get, instant, may, query, repeat, report } from "./api.js";
import { MetricChart } from "./chart.js";
import { deviceCard } from "./device_card.js";
import { deviceStates } from "./device_states.js";
import { ask, attempt, field } from "./dialog.js";
import { buttonGroup, fill, h, setText } from "./dom.js";
import { ago, duration, local, moment } from "./format.js";
import { LeavingOut } from "./leaving_out.js";
import { lives, silence } from "./lives.js";
import { newChannel } from "./settings.js";

const spans = [["300", "5 min"], ["900", "15 min"], ["3600", "1 h"], ["21600", "6 h"], ["86400", "24 h"], ["604800", "7 d"], ["all", "All"]];
const page = 12;
const shortest = 0.05;
const forecastShare = 0.5;

export async function showDevice({ root, name, search, signal }) {
  const charts = new Map();
  let device = await get(devicePath(name), {}, signal);
  let shownCharts = page;
  let alarms = [];
  let loading = new AbortController();
  // Either the newest `span` seconds ("all" for everything), or the time from `from` to `to`, in seconds.
  /** @type {{ span?: number | "all", from?: number, to?: number }} */
  let range = { span: 900 };
  if (search.get("from") && search.get("to")) range = { from: Number(search.get("from")) / 1e9, to: Number(search.get("to")) / 1e9 };

  const life = h("span", { class: "chip" });
  const alarmed = h("span", { class: "chip alarm", hidden: true });
  const seen = h("span", { class: "dim" });
  const title = h("h1", {}, device.name);
  const card = deviceCard(() => refresh());
  const notices = h("div", { class: "notices" });
  const grid = h("div", { class: "charts" });
  const more = h("button", { class: "tile", type: "button", onclick: () => { shownCharts += page; arrange(); load(); } });
  const span = buttonGroup("Time range", spans, "900", (value) => setRange({ span: value === "all" ? "all" : Number(value) }));
  const steps = buttonGroup("Move", [["back", "◀"], ["in", "+"], ["out", "−"], ["forward", "▶"]], "", (value) =>
    ({ back: () => pan(-0.5), forward: () => pan(0.5), in: () => zoomAt(null, 0.5), out: () => zoomAt(null, 2) })[value]());
  for (const [value, label] of [["back", "Earlier"], ["in", "Zoom in"], ["out", "Zoom out"], ["forward", "Later"]]) {
    const button = steps.querySelector(`[data-value="${value}"]`);
    button.setAttribute("aria-label", label);
    button.removeAttribute("aria-pressed");
    button.title = label;
  }
  const live = h("button", { type: "button", class: "live", "aria-pressed": "true", onclick: () => setRange({ span: lastSpan }) }, "Live");
  const ahead = h("button", { type: "button", class: "ahead", "aria-pressed": "false", onclick: () => attempt(toggleForecast) }, "Forecast");
  const shownRange = h("span", { class: "dim", role: "status" });
  /** @type {number | "all"} */
  let lastSpan = 900;

  const said = deviceStates(name, signal);
  // So until its first reading, after which the view is drawn anew.
  const isEmpty = device.metrics.length === 0;
  fill(root,
    h("div", { class: "crumbs" }, h("a", { href: "#/" }, "Fleet"), h("span", { class: "dim" }, "/"), title, alarmed, life, seen, h("span", { class: "grow" }),
      device.metrics.length === 0 ? null : h("a", { class: "link button", href: `#/tune/${encodeURIComponent(name)}` }, "Too many alarms? Tune"),
      may("admin") ? h("button", { type: "button", onclick: tellMe }, "Tell me next time") : null),
    card.element, notices,
    h("div", { class: "bar", hidden: isEmpty }, span, h("div", { class: "buttons" }, live), h("div", { class: "buttons" }, ahead), steps, h("button", { type: "button", onclick: pickTime }, "From … to …"), shownRange, h("span", { class: "grow" }),
      h("div", { class: "legend" }, h("span", { class: "key" }, "value"), h("span", { class: "key expected" }, "expected"), h("span", { class: "key band" }, "expected band"), h("span", { class: "key odd" }, "anomaly"))),
    grid, more, said.element,
    isEmpty ? h("div", { class: "panel empty" }, h("b", {}, "No reading of it yet"), h("p", {}, "Messages that cannot be read are kept, with the reason, among the ", h("a", { href: "#/pipeline" }, h("u", {}, "dead letters")), ".")) : null,
    h("p", { class: "hint keys", hidden: isEmpty }, "Drag to zoom, Shift and drag to pan, Ctrl and wheel to zoom, double click to go back to live. Keys: ← → + − and 0."));

  const actions = {
    zoom: (from, to) => setRange({ from, to: Math.max(to, from + shortest) }),
    pan: (seconds) => setRange({ from: bounds().from + seconds, to: bounds().to + seconds }),
    zoomAt,
    reset: () => setRange({ span: lastSpan }),
  };

  function newest() {
    const times = [...charts.values()].map((chart) => chart.newest).filter((time) => time !== null);
    return times.length ? Math.max(...times) : (device.last_event ?? Date.now() * 1e6) / 1e9;
  }

  // The newest reading known, shown or not.
  function latest() {
    return Math.max(newest(), (device.last_event ?? 0) / 1e9);
  }

  // The time shown. A live range that data fill in part only is cut to the data.
  function bounds() {
    if (range.span === undefined) return range;
    const to = newest();
    const times = [...charts.values()].map((chart) => chart.oldest).filter((time) => time !== null);
    const oldest = times.length ? Math.min(...times) : to - 60;
    const from = range.span === "all" ? oldest : Math.max(to - range.span, oldest);
    const width = Math.max(to - from, 1);
    return { from: to - width * 1.005, to: to + (ahead.getAttribute("aria-pressed") === "true" ? width * forecastShare : width * 0.01) };
  }

  // Shows what is to come of each metric, as far as half of the time shown, or no longer.
  async function toggleForecast() {
    const on = ahead.getAttribute("aria-pressed") !== "true";
    ahead.setAttribute("aria-pressed", String(on));
    for (const chart of on ? [] : charts.values()) chart.setForecast(null);
    draw();
    await loadForecasts();
  }

  async function loadForecasts() {
    if (ahead.getAttribute("aria-pressed") !== "true" || range.span === undefined) return;
    const { from } = bounds();
    const seconds = Math.round(Math.min(28 * 86400, Math.max(60, (newest() - from) * forecastShare)));
    for (const chart of charts.values()) {
      chart.setForecast(await get("forecast", { device: name, metric: chart.metric.metric, horizon: `${seconds}s` }, signal));
      draw();
    }
  }

  function setRange(next) {
    range = next;
    if (range.span !== undefined) lastSpan = range.span;
    span.choose(range.span === undefined ? "" : range.span);
    live.setAttribute("aria-pressed", String(range.span !== undefined));
    const fixed = range.span === undefined ? { from: instant(range.from * 1e9), to: instant(range.to * 1e9) } : {};
    history.replaceState(history.state, "", deviceLink(name, fixed));
    draw();
    load();
  }

  function pan(share) {
    const { from, to } = bounds();
    const by = (to - from) * share;
    setRange({ from: from + by, to: to + by });
  }

  function zoomAt(at, factor) {
    const { from, to } = bounds();
    const center = at ?? (from + to) / 2;
    const width = Math.max(shortest, (to - from) * factor);
    const share = (center - from) / (to - from);
    setRange({ from: center - share * width, to: center + (1 - share) * width });
  }

  // The metric that the address asks for comes first, then those whose alarm is open or newest.
  const wanted = (metric) => String(metric.series) === search.get("series");
  const compare = (a = 0, b = 0) => (a === b ? 0 : a - b);

  function arrange() {
    const rank = new Map([...alarms].reverse().map((alarm) => [alarm.series, alarm.state === "cleared" ? alarm.opened : Infinity]));
    const metrics = device.metrics.filter((each) => each.kind !== "text" && each.metric !== silence).sort((a, b) => Number(wanted(b)) - Number(wanted(a)) || compare(rank.get(b.series), rank.get(a.series)));
    for (const metric of metrics.slice(0, shownCharts)) {
      if (!charts.has(metric.series)) {
        const chart = new MetricChart(metric, actions);
        const leaving = new LeavingOut(name, chart, fetchPoints);
        fill(chart.tools, leaving.button, h("button", { type: "button", class: "plain", onclick: () => compareWith(chart) }, "Compare"), h("a", { class: "plain", download: "", href: "", onclick: (event) => { event.currentTarget.href = csvOf(metric); } }, "CSV"));
        charts.set(metric.series, chart);
        grid.append(chart.element);
      }
    }
    more.hidden = metrics.length <= charts.size;
    setText(more, `Show ${Math.min(page, metrics.length - charts.size)} more of ${metrics.length} metrics`);
    describe();
  }

  function describe() {
    const open = alarms.filter((alarm) => alarm.state !== "cleared");
    setText(title, device.name);
    const { word, kind, meaning } = lives[device.life] ?? { word: device.life, kind: "", meaning: "" };
    life.className = `chip ${kind}`;
    life.title = meaning;
    setText(life, word);
    alarmed.hidden = !open.length;
    setText(alarmed, `${open.length} open alarm${open.length > 1 ? "s" : ""}`);
    const last = Math.max(device.last_event ?? 0, ...[...charts.values()].map((chart) => (chart.newest ?? 0) * 1e9));
    setText(seen, last ? `last reading ${ago(last, Date.now() * 1e6)}` : "no reading yet that could be used");
  }

  function drawNotices() {
    fill(notices, alarms.filter((alarm, i) => alarm.state !== "cleared" || i < 3).slice(0, 6).map((alarm) =>
      h("div", { class: `notice ${alarm.state}` },
        h("span", { class: `chip ${alarm.state === "cleared" ? "" : alarm.severity}` }, alarm.state === "cleared" ? "cleared" : alarm.severity),
        h("div", { class: "reason" }, h("button", { type: "button", class: "plain", onclick: () => showAlarm(alarm) }, alarm.reason), partsOf(alarm), lifeOf(alarm), toldOf(alarm)),
        h("span", { class: "dim" }, `${moment(alarm.opened)}${alarm.cleared ? `, for ${duration((alarm.cleared - alarm.opened) / 1e9)}` : ""}`),
        mayAct() ? h("div", { class: "acts" }, actionsFor(alarm).map(([, word, run]) => h("button", { type: "button", onclick: () => run([alarm], fetchAlarms) }, word))) : null)));
  }

  function tellMe() {
    return attempt(async () => {
      const { channels } = await get("notices/channels", {}, signal);
      const mail = channels.find((each) => each.settings.kind === "mail")?.settings;
      const short = name.split("/").at(-1).replace(/[^A-Za-z0-9_-]+/g, "-").slice(0, 30);
      await newChannel({ title: `Tell me when ${name} alarms`, name: `mail-${short}`, url: mail?.url, to: mail?.to.join(", "), devices: name }, async () => {});
    });
  }

  function pickTime() {
    const { from, to } = bounds();
    return attempt(() => ask({
      title: "Time shown", confirm: "Show",
      fields: [field("From", "from", { type: "datetime-local", step: 1, required: true, value: local(from) }), field("To", "to", { type: "datetime-local", step: 1, required: true, value: local(to) })],
      submit: async (values) => {
        const [start, end] = [values.from, values.to].map((text) => new Date(text).getTime() / 1000);
        if (!(start < end)) throw new Error("The end has to be later than the beginning.");
        setRange({ from: start, to: end });
      },
    }));
  }

  // The same metric of another device over this chart.
  function compareWith(chart) {
    return attempt(async () => {
      const { series } = await get("series", {}, signal);
      const others = series.filter((each) => each.metric === chart.metric.metric && each.device !== name);
      const site = name.slice(0, name.lastIndexOf("/"));
      others.sort((a, b) => b.device.startsWith(site) - a.device.startsWith(site) || a.device.localeCompare(b.device, "en", { numeric: true }));
      if (!others.length) throw new Error(`No other device has ${chart.metric.metric}.`);
      await ask({
        title: `Compare ${chart.metric.metric} with`, confirm: "Show",
        fields: [field("Device", "series", { tag: "select", choices: [["", "none"], ...others.slice(0, 500).map((each) => [String(each.series), each.device])], value: String(chart.sibling?.series ?? others[0].series) })],
        submit: async (values) => {
          chart.sibling = values.series ? { series: Number(values.series), time: [], value: [] } : null;
          await loadSiblings();
          draw();
        },
      });
    });
  }

  async function loadSiblings() {
    const { from, to } = bounds();
    for (const chart of charts.values()) {
      if (!chart.sibling) continue;
      const { series: [columns] } = await get("points", { series: chart.sibling.series, from: instant(from * 1e9), to: instant(to * 1e9), max_points: 2000 }, signal);
      chart.setSibling(columns);
    }
  }

  function csvOf(metric) {
    const { from, to } = bounds();
    return `api/v1/points.csv?${query({ series: metric.series, from: instant(from * 1e9), to: instant(to * 1e9) })}`;
  }

  function showAlarm(alarm) {
    const { from, to } = alarmRange(alarm);
    setRange({ from: from / 1e9, to: Math.min(to / 1e9, Math.max(latest() + 5, alarm.opened / 1e9 + 5)) });
    charts.get(alarm.series)?.element.scrollIntoView({ block: "nearest" });
  }

  function draw() {
    const { from, to } = bounds();
    for (const chart of charts.values()) chart.show(from, to);
    setText(shownRange, range.span === undefined ? `${moment(from * 1e9)} to ${moment(to * 1e9)}` : "");
    describe();
  }

  let timer = 0;
  function load() {
    clearTimeout(timer);
    timer = setTimeout(() => fetchPoints().catch(report), 60);
  }

  async function fetchPoints() {
    loading.abort();
    loading = new AbortController();
    const stop = loading.signal;
    const wanted = { max_points: Math.max(400, Math.min(3000, Math.round(grid.clientWidth * 1.2))) };
    if (range.span === undefined) {
      const margin = (range.to - range.from) * 0.02;
      Object.assign(wanted, { from: instant((range.from - margin) * 1e9), to: instant((range.to + margin) * 1e9) });
    } else if (range.span !== "all" && device.last_event !== null) {
      wanted.from = instant(Math.max(newest() * 1e9, device.last_event) - range.span * 1e9);
    }
    const series = [...charts.keys()];
    for (let i = 0; i < series.length; i += 50) {
      const reply = await get("points", { ...wanted, series: series.slice(i, i + 50) }, stop);
      for (const columns of reply.series) charts.get(columns.series)?.load(columns);
    }
    await Promise.all([loadSiblings(), loadForecasts()]);
    if (!signal.aborted) draw();
  }

  async function fetchAlarms() {
    // A device whose every message is refused has no series, and so no alarms to ask for.
    if (device.metrics.length) ({ alarms } = await get("alarms", { device: name, limit: 100 }, signal));
    for (const chart of charts.values()) chart.alarms = alarms.filter((alarm) => alarm.series === chart.metric.series);
    drawNotices();
  }

  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    loading.abort();
    for (const chart of charts.values()) chart.close();
  });
  addEventListener("driftline-theme", () => { for (const chart of charts.values()) chart.redraw(); }, { signal });
  addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = { ArrowLeft: () => pan(-0.25), ArrowRight: () => pan(0.25), "+": () => zoomAt(null, 0.5), "=": () => zoomAt(null, 0.5), "-": () => zoomAt(null, 2), 0: actions.reset, l: actions.reset };
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  }, { signal });

  await fetchAlarms();
  card.draw(device);
  arrange();
  await fetchAlarms();
  span.choose(range.span === undefined ? "" : range.span);
  live.setAttribute("aria-pressed", String(range.span !== undefined));
  await fetchPoints();

  let queued = 0;
  follow({ device: name, points: "all" }, {
    points(columns) {
      const known = new Set(device.metrics.map((metric) => metric.series));
      const rows = new Map();
      columns.series.forEach((series, i) => {
        if (columns.late[i] || !charts.has(series) || columns.time[i] / 1e9 > (range.to ?? Infinity)) return;
        if (!rows.has(series)) rows.set(series, []);
        rows.get(series).push(i);
      });
      for (const [series, indexes] of rows) {
        const part = {};
        for (const key of ["time", "value", "score", "expected", "lower", "upper", "anomaly"]) part[key] = indexes.map((i) => columns[key][i]);
        charts.get(series).append(part);
      }
      if (columns.series.some((series) => !known.has(series))) refresh().catch(report);
      if (rows.size) queued ||= requestAnimationFrame(() => { queued = 0; if (!signal.aborted) draw(); });
    },
    alarms() { fetchAlarms().then(draw).catch(report); },
    gap() { refresh().then(load).catch(report); },
  }, signal);

  async function refresh() {
    device = await get(devicePath(name), {}, signal);
    if (isEmpty && device.metrics.length) { dispatchEvent(new Event("hashchange")); return; }
    for (const metric of device.metrics) {
      const chart = charts.get(metric.series);
      if (!chart) continue;
      if (metric.warming || chart.warming) chart.setWarming(metric.warming);
      chart.threshold = metric.threshold;
    }
    const before = charts.size;
    card.draw(device);
    arrange();
    if (charts.size > before) load();
  }
  repeat(said.load, 15, signal);
  repeat(loadForecasts, 60, signal);
  await repeat(refresh, 4, signal);
}

// What each detector, or channel of a device, gave the alarm's score.
function partsOf(alarm) {
  const parts = Object.entries(alarm.parts ?? {}).filter(([, share]) => share > 0).sort((a, b) => b[1] - a[1]).slice(0, 5);
  if (!parts.length) return null;
  return h("span", { class: "parts", title: "What gave the score: 3 is one reading in a thousand" }, parts.map(([part, share]) => {
    const bar = h("i");
    bar.style.width = `${Math.min(60, 5 * share)}px`;
    return h("span", {}, bar, `${part} ${share.toFixed(1)}`);
  }));
}

// What people did about it.
function lifeOf(alarm) {
  const said = [
    alarm.acknowledged_by ? `taken on by ${alarm.acknowledged_by}` : "",
    alarm.shelved_until && alarm.state !== "cleared" ? `shelved until ${moment(alarm.shelved_until)}` : "",
    alarm.feedback ? `marked ${alarm.feedback}` : "",
    alarm.note ? `“${alarm.note}”` : "",
  ].filter(Boolean);
  return said.length ? h("span", { class: "sub" }, said.join(", ")) : null;
}

// The time to show for an alarm: the alarm with as much again around it, at least ten minutes.
export function alarmRange(alarm) {
  const end = alarm.cleared ?? alarm.opened;
  const around = Math.max(300e9, end - alarm.opened);
  return { from: alarm.opened - around, to: end + around };
}
