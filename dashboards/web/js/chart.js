// One metric's charts: the value with its expected band and anomalies, and the score in a strip beneath.

import { color, fill, h } from "./dom.js";
import { clock, day, number } from "./format.js";

const heights = { value: 210, score: 54 };
const axisWidth = 64;
const maxScore = 12;
const most = 20000;

export const timeLabels = [
  [31536000, "{YYYY}", null, null, null, null, null, null, 1],
  [2419200, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [86400, "{MMM} {D}", "\n{YYYY}", null, null, null, null, null, 1],
  [3600, "{HH}:{mm}", "\n{MMM} {D} {YYYY}", null, "\n{MMM} {D}", null, null, null, 1],
  [60, "{HH}:{mm}", "\n{MMM} {D} {YYYY}", null, "\n{MMM} {D}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{MMM} {D} {YYYY}", null, "\n{MMM} {D}", null, null, null, 1],
  [0.001, "{ss}.{fff}", "\n{MMM} {D} {YYYY} {HH}:{mm}", null, "\n{MMM} {D} {HH}:{mm}", null, "\n{HH}:{mm}", null, 1],
];

/** @type {Record<string, string>} */
const theme = {};
const readTheme = () => {
  for (const name of ["accent", "band", "expected", "bad", "bad-soft", "warn", "dim", "faint", "grid", "panel", "line"]) theme[name] = color(name);
};
addEventListener("driftline-theme", readTheme);

export class MetricChart {
  // `actions`: zoom(from, to), pan(seconds), zoomAt(center, factor) and reset(), all in seconds since the epoch.
  constructor(metric, actions) {
    readTheme();
    this.metric = metric;
    this.actions = actions;
    this.threshold = metric.threshold;
    this.alarms = [];
    this.range = null;
    this.sibling = null;
    this.forecast = null;
    /** @type {((from: number, to: number) => void) | null} */
    this.select = null;
    this.excluded = [];
    this.onExcluded = () => {};
    this.clear();
    this.now = h("span", { class: "now" });
    this.warmth = h("span", { class: "warmth" });
    this.missing = h("span", { class: "dim missing", role: "status" });
    this.readout = h("div", { class: "readout" });
    this.plots = h("div");
    this.coming = h("p", { class: "hint coming", role: "status", hidden: true });
    this.tools = h("div", { class: "tools" });
    this.element = h("section", { class: "panel chart", "aria-label": metric.metric, "data-series": metric.series },
      h("div", { class: "chart-head" }, h("h2", {}, metric.metric), this.now, this.warmth, this.missing, this.readout, this.tools), this.plots, this.coming);
    this.width = 0;
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.plots);
  }

  clear() {
    this.data = [[], [], [], [], [], []];
    this.score = [];
    this.odd = [];
    this.spacing = Infinity;
  }

  get newest() { return this.data[0].at(-1) ?? null; }

  get oldest() { return this.data[0][0] ?? null; }

  close() {
    this.observer.disconnect();
    this.value?.destroy();
    this.strip?.destroy();
  }

  // Columns of `/points`, replacing what is shown.
  load(columns) {
    this.clear();
    this.threshold = columns.threshold;
    const time = columns.time;
    const steps = [];
    for (let i = 1; i < time.length; i += 1) steps.push(time[i] - time[i - 1]);
    steps.sort((a, b) => a - b);
    this.spacing = steps.length ? steps[steps.length >> 1] / 1e9 : Infinity;
    this.append(columns);
    this.setWarming(columns.warming);
    this.excluded = columns.excluded ?? [];
    this.onExcluded();
    fill(this.missing, ...(columns.missing ? [`not shown: ${columns.missing}`] : []));
  }

  // Newer points, columns of `/points` or of the live feed cut to this series. A long silence becomes a gap in the line.
  append(columns) {
    const [x, upper, lower, expected, value, anomalies] = this.data;
    columns.time.forEach((nanoseconds, i) => {
      const time = nanoseconds / 1e9;
      const last = x.at(-1);
      if (last !== undefined && time <= last) return;
      if (last !== undefined && time - last > Math.max(12 * this.spacing, 0.001)) {
        x.push((last + time) / 2);
        for (const column of [upper, lower, expected, value, anomalies, this.score]) column.push(null);
      }
      x.push(time);
      upper.push(columns.upper[i]);
      lower.push(columns.lower[i]);
      expected.push(columns.expected[i]);
      value.push(columns.value[i]);
      anomalies.push(columns.anomaly[i] ? columns.value[i] : null);
      this.score.push(columns.score[i]);
    });
    if (x.length > most) for (const column of [...this.data, this.score]) column.splice(0, x.length - most);
  }

  setWarming(warming) {
    this.warming = warming;
    if (!warming) { fill(this.warmth); return; }
    const bar = h("i");
    bar.style.width = `${Math.min(100, (100 * warming.seen) / warming.needed)}%`;
    fill(this.warmth, h("span", { class: "meter" }, bar), `warming up, ${warming.seen} of ${warming.needed} readings`);
  }

  // Draws the time from `from` to `to`, in seconds.
  show(from, to) {
    this.range = { min: from, max: to };
    if (!this.width) return;
    if (!this.value) this.build();
    this.value.batch(() => {
      this.value.setData(this.columns(), false);
      this.value.setScale("x", this.range);
    });
    this.strip.batch(() => {
      this.strip.setData([this.data[0], this.score], false);
      this.strip.setScale("x", this.range);
    });
    let shown = 0;
    let odd = 0;
    this.data[0].forEach((x, i) => {
      if (x < from || x > to || this.data[4][i] === null) return;
      shown += 1;
      odd += this.data[5][i] !== null ? 1 : 0;
    });
    Object.assign(this.element.dataset, { points: shown, anomalies: odd, from, to });
    this.describe(null);
  }

  // The same metric of another device, columns of `/points`, drawn over this one; null takes it away.
  setSibling(columns) {
    this.sibling = columns;
  }

  // What `/forecast` says, drawn to the right of the newest reading with its sentence beneath; null takes it away.
  setForecast(forecast) {
    this.forecast = forecast;
    this.coming.hidden = !forecast;
    this.coming.textContent = forecast?.sentence ?? "";
  }

  // The columns of the plot: what was, and what is to come.
  columns() {
    const columns = [...this.data, this.siblingColumn()];
    const from = this.newest ?? -Infinity;
    const later = (this.forecast?.time ?? []).map((_, i) => i).filter((i) => this.forecast.time[i] / 1e9 > from);
    if (!later.length) return columns;
    // Nothing at one place between, so that no line leads from what was expected of the past to what is to come.
    const part = (name) => [null, ...later.map((i) => this.forecast[name][i])];
    const times = later.map((i) => this.forecast.time[i] / 1e9);
    const nothing = [null, ...later.map(() => null)];
    const coming = [[(from + times[0]) / 2, ...times], part("upper"), part("lower"), part("expected"), nothing, nothing, nothing];
    return coming.map((each, i) => [...columns[i], ...each]);
  }

  // The sibling's value at each time of this chart: its last one before, unless that is long ago.
  siblingColumn() {
    const [x] = this.data;
    if (!this.sibling) return x.map(() => null);
    const { time, value } = this.sibling;
    let at = -1;
    return x.map((seconds) => {
      while (at + 1 < time.length && time[at + 1] / 1e9 <= seconds) at += 1;
      return at < 0 || seconds - time[at] / 1e9 > 60 * Math.min(this.spacing, 3600) ? null : value[at];
    });
  }

  resize() {
    const width = Math.floor(this.plots.clientWidth);
    if (!width || width === this.width) return;
    this.width = width;
    if (this.value) {
      this.value.setSize({ width, height: heights.value });
      this.strip.setSize({ width, height: heights.score });
    } else if (this.range) {
      this.show(this.range.min, this.range.max);
    }
  }

  redraw() {
    this.value?.redraw(false, true);
    this.strip?.redraw(false, true);
  }

  build() {
    const bound = (plot) => {
      plot.over.addEventListener("wheel", (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        const at = plot.posToVal(event.offsetX, "x");
        this.actions.zoomAt(at, event.deltaY > 0 ? 1.25 : 0.8);
      }, { passive: false });
    };
    const cursor = {
      y: false,
      points: { size: 7 },
      sync: { key: "driftline", scales: ["x", null], filters: { pub: (type) => type === "mousemove" || type === "mouseleave" } },
      drag: { x: true, y: false, setScale: false },
      bind: {
        dblclick: () => () => { this.actions.reset(); return null; },
        mousedown: (plot, _, handler) => (event) => { if (event.shiftKey) this.startPan(plot, event); else handler(event); return null; },
      },
    };
    const hooks = {
      ready: [bound],
      setSelect: [(plot) => {
        const { left, width } = plot.select;
        if (width < 4) return;
        plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        const chosen = this.select ?? this.actions.zoom;
        chosen(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
      }],
      setCursor: [(plot) => this.describe(plot.cursor.idx)],
    };
    const axis = {
      stroke: () => theme.dim, font: "11px system-ui, 'Liberation Sans', sans-serif",
      grid: { stroke: () => theme.grid, width: 1 }, ticks: { show: false },
    };
    const scaleX = { time: true, auto: false };
    const line = { points: { show: false }, spanGaps: false };
    this.value = new uPlot({
      width: this.width, height: heights.value, legend: { show: false }, cursor, padding: [8, 24, 0, 0],
      scales: { x: scaleX, y: { range: (plot) => this.reach(plot) } },
      axes: [{ ...axis, values: timeLabels, space: 70, size: 40 }, { ...axis, size: axisWidth, space: 34, values: (_, ticks) => ticks.map(tick) }],
      series: [
        {},
        { ...line, stroke: "transparent", width: 0 },
        { ...line, stroke: "transparent", width: 0 },
        { ...line, stroke: () => theme.expected, width: 1, dash: [5, 4] },
        { ...line, stroke: () => theme.accent, width: 1.6 },
        { stroke: () => theme.bad, width: 0, paths: () => null, points: { show: true, size: 5.5, width: 0, fill: () => theme.bad } },
        { ...line, stroke: () => theme.warn, width: 1.2 },
      ],
      bands: [{ series: [1, 2], fill: () => theme.band }],
      hooks: { ...hooks, drawClear: [(plot) => this.shadeExcluded(plot), (plot) => this.shadeAlarms(plot)] },
    }, this.columns(), this.plots);
    this.strip = new uPlot({
      class: "strip", width: this.width, height: heights.score, legend: { show: false }, cursor: { ...cursor, points: { show: false } }, padding: [4, 24, 4, 0],
      scales: { x: scaleX, y: { range: (_, __, high) => [0, Math.min(maxScore, Math.max((this.threshold ?? 3) * 1.5, high ?? 0)) * 1.05] } },
      axes: [{ show: false }, { ...axis, size: axisWidth, grid: { show: false }, splits: () => [0, this.threshold ?? 3], values: (_, ticks) => ticks.map((value, i) => (i ? `score ${number1(value)}` : "")) }],
      series: [{}, { ...line, width: 1, stroke: (plot) => this.heat(plot, theme.bad, theme.faint), fill: (plot) => this.heat(plot, theme["bad-soft"], theme.grid) }],
      hooks: { ...hooks, draw: [(plot) => this.drawThreshold(plot)] },
    }, [this.data[0], this.score], this.plots);
    this.value.over.dataset.plot = "value";
  }

  // Room for the values seen, and for the band as far as it does not flatten them.
  reach(plot) {
    const [x, upper, lower, expected, value, , sibling] = plot.data;
    // The plot's own range of x is still the one before, while it asks for that of y.
    const { min, max } = this.range;
    let [low, high, bandLow, bandHigh] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < x.length; i += 1) {
      const shown = value[i] ?? (this.forecast && x[i] > (this.newest ?? Infinity) ? expected[i] : null);
      if (x[i] < min || x[i] > max || shown === null) continue;
      low = Math.min(low, shown);
      high = Math.max(high, shown);
      if (sibling?.[i] !== null && sibling?.[i] !== undefined) {
        low = Math.min(low, sibling[i]);
        high = Math.max(high, sibling[i]);
      }
      if (lower[i] !== null) bandLow = Math.min(bandLow, lower[i]);
      if (upper[i] !== null) bandHigh = Math.max(bandHigh, upper[i]);
    }
    if (low > high) return [0, 1];
    const span = high - low || Math.abs(high) * 0.02 || 1;
    low = Math.min(low, Math.max(bandLow, low - span));
    high = Math.max(high, Math.min(bandHigh, high + span));
    const margin = (high - low || span) * 0.06;
    return [low - margin, high + margin];
  }

  // A colour that changes where the score reaches the threshold.
  heat(plot, above, below) {
    if (this.threshold === null || plot.scales.y.max === undefined || plot.scales.y.max === null) return below;
    const { top, height } = plot.bbox;
    const at = Math.min(1, Math.max(0, (plot.valToPos(this.threshold, "y", true) - top) / height));
    const gradient = plot.ctx.createLinearGradient(0, top, 0, top + height);
    gradient.addColorStop(0, above);
    gradient.addColorStop(at, above);
    gradient.addColorStop(at, below);
    gradient.addColorStop(1, below);
    return gradient;
  }

  drawThreshold(plot) {
    if (this.threshold === null) return;
    const { ctx, bbox } = plot;
    const y = Math.round(plot.valToPos(this.threshold, "y", true)) + 0.5;
    ctx.save();
    ctx.strokeStyle = theme.bad;
    ctx.globalAlpha = 0.6;
    ctx.setLineDash([3, 3]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }

  // The stretches whose values people left out, behind the lines.
  shadeExcluded(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = theme.grid;
    for (const { start, end } of this.excluded) {
      const left = Math.max(bbox.left, plot.valToPos(start / 1e9, "x", true));
      const right = Math.min(bbox.left + bbox.width, Math.max(left + 2, plot.valToPos(end / 1e9, "x", true)));
      if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
    ctx.restore();
  }

  // The spans of the metric's alarms, behind the lines.
  shadeAlarms(plot) {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const alarm of this.alarms) {
      const until = alarm.cleared ? alarm.cleared / 1e9 : Math.max(this.newest ?? 0, alarm.opened / 1e9);
      if (until < this.range.min || alarm.opened / 1e9 > this.range.max) continue;
      const left = Math.max(bbox.left, plot.valToPos(alarm.opened / 1e9, "x", true));
      const right = Math.min(bbox.left + bbox.width, Math.max(left + 2, plot.valToPos(until, "x", true)));
      if (right <= left) continue;
      ctx.fillStyle = theme["bad-soft"];
      ctx.fillRect(left, bbox.top, right - left, bbox.height);
      if (alarm.opened / 1e9 < this.range.min) continue;
      ctx.fillStyle = theme.bad;
      ctx.fillRect(left, bbox.top, devicePixelRatio || 1, bbox.height);
    }
    ctx.restore();
  }

  startPan(plot, start) {
    const perPixel = (plot.scales.x.max - plot.scales.x.min) / plot.over.clientWidth;
    let last = start.clientX;
    const stop = new AbortController();
    addEventListener("mousemove", (event) => {
      this.actions.pan((last - event.clientX) * perPixel);
      last = event.clientX;
    }, { signal: stop.signal });
    addEventListener("mouseup", () => stop.abort(), { signal: stop.signal });
  }

  // What the cursor points at, else the newest reading.
  describe(index) {
    const { unit } = this.metric;
    const [x, upper, lower, expected, value] = this.data;
    let last = x.length - 1;
    while (last >= 0 && value[last] === null) last -= 1;
    fill(this.now, last < 0 ? h("small", {}, "no reading in this time range") : [number(value[last]), h("small", {}, unit)]);
    const i = index ?? last;
    if (i < 0 || value[i] === null || value[i] === undefined) { fill(this.readout); return; }
    const part = (label, text, name = "") => h("span", {}, `${label} `, h("b", { class: name }, text));
    const at = x[i] * 1e9;
    const odd = this.data[5][i] !== null;
    fill(this.readout,
      part(index === null ? "last" : "at", Date.now() * 1e6 - at > 72e12 ? `${day(at)} ${clock(at)}` : clock(at)),
      index === null ? null : part("value", number(value[i]), odd ? "bad" : ""),
      expected[i] === null ? null : part("expected", number(expected[i])),
      lower[i] === null ? null : part("band", `${number(lower[i])} to ${number(upper[i])}`),
      part("score", this.score[i] === null ? "none yet" : number1(this.score[i]) + (this.threshold === null ? "" : ` / ${number1(this.threshold)}`), odd ? "bad" : ""));
  }
}

const number1 = (value) => value.toFixed(1);

function tick(value) {
  return Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-4) ? value.toExponential(1) : String(Number(value.toPrecision(7)));
}
