// One metric on the tune page: its values, what is marked on them, the alarms that were and would be.

import { deviceLink, get, instant, send } from "./api.js";
import { mayAct } from "./alarm_actions.js";
import { timeLabels } from "./chart.js";
import { alarmRange } from "./device.js";
import { ask, attempt, field, tell } from "./dialog.js";
import { color, fill, h } from "./dom.js";
import { local, moment } from "./format.js";

const plotHeight = 110;
// As wide as the names of the lanes beneath.
const axisWidth = 100;
const most = 400;
const hour = 3600e9;
const words = { fault: "a fault", normal: "normal", none: "nothing any more" };

export class TunedSeries {
  // `changed` is called once a stretch has been marked.
  constructor(device, changed) {
    this.device = device;
    this.changed = changed;
    this.title = h("h2");
    this.place = h("div", { class: "tune-plot" });
    this.ask = h("div", { class: "bulk", role: "toolbar", "aria-label": "Mark this stretch", hidden: true });
    this.lanes = h("div", { class: "timeline" });
    this.list = h("ul", { class: "plain-list" });
    this.element = h("section", { class: "panel strip-row" }, this.title, this.place, this.ask, this.lanes, this.list);
    this.plot = null;
    this.shown = "";
    this.observer = new ResizeObserver(() => this.plot?.setSize({ width: this.place.clientWidth, height: plotHeight }));
    this.observer.observe(this.place);
  }

  close() {
    this.observer.disconnect();
    this.plot?.destroy();
  }

  draw(each, found, compared) {
    this.each = each;
    const { element } = this;
    Object.assign(element.dataset, { series: each.series, would: each.would.length, were: each.were.length, marked: each.marked.length });
    fill(this.title, h("span", {}, each.metric), h("span", { class: "dim" }, `score ${each.threshold.toFixed(1)} raises an alarm${each.threshold_now === null ? "" : `, now ${each.threshold_now.toFixed(1)}`}`),
      mayAct() ? h("button", { type: "button", onclick: () => this.askStretch(found) }, "Mark a stretch") : null);
    const lane = (name, alarms, kind, title) => [h("span", { class: "dim" }, `${name} ${alarms.length}`), h("div", { class: "lane" }, this.marks(alarms, kind, title, found))];
    fill(this.lanes, ...lane("was", each.were, "was", (alarm) => `${moment(alarm.opened)}: ${alarm.reason}`),
      ...(compared ? lane("compared", compared.would, "other", (alarm) => `${moment(alarm.opened)}, score ${alarm.peak.toFixed(1)}`) : []),
      ...lane("would be", each.would, "would", (alarm) => `${moment(alarm.opened)}, score ${alarm.peak.toFixed(1)}`));
    fill(this.list, each.were.slice(0, 12).map((was) => {
      const range = alarmRange(was);
      return h("li", {}, h("span", { class: `chip ${was.kept ? "open" : ""}` }, was.kept ? "would be" : "would not be"), " ",
        h("a", { href: deviceLink(this.device, { from: instant(range.from), to: instant(range.to), series: each.series }) }, `${moment(was.opened)}: ${was.reason}`),
        was.feedback ? h("span", { class: "dim" }, ` marked ${was.feedback}`) : null);
    }));
    this.plot?.redraw();
  }

  marks(alarms, kind, title, found) {
    const span = found.end - found.start;
    return alarms.slice(0, most).map((alarm) => {
      const mark = h("i", { class: kind, title: title(alarm) });
      mark.style.left = `min(${(100 * (alarm.opened - found.start)) / span}%, 100% - 3px)`;
      mark.style.width = `max(3px, ${(100 * ((alarm.cleared ?? found.end) - alarm.opened)) / span}%)`;
      return mark;
    });
  }

  // The values of the time looked at, once each.
  async load(start, end, signal) {
    const asked = `${start} ${end}`;
    if (asked === this.shown) return;
    this.shown = asked;
    const { series: [columns] } = await get("points", { series: this.each.series, from: instant(start), to: instant(end), max_points: 1500 }, signal);
    this.plot?.destroy();
    this.plot = null;
    if (!columns || columns.time.length < 2) { fill(this.place); return; }
    fill(this.place);
    this.plot = this.makePlot([columns.time.map((time) => time / 1e9), columns.value], start / 1e9, end / 1e9);
  }

  makePlot(data, start, end) {
    const axis = { stroke: () => color("dim"), font: "11px system-ui, 'Liberation Sans', sans-serif", grid: { stroke: () => color("grid"), width: 1 }, ticks: { show: false } };
    return new uPlot({
      width: this.place.clientWidth, height: plotHeight, padding: [6, 0, 0, 0], legend: { show: false },
      cursor: { y: false, drag: { x: mayAct(), y: false, setScale: false } },
      scales: { x: { range: [start, end] } },
      axes: [{ ...axis, space: 90, values: timeLabels }, { ...axis, size: axisWidth }],
      series: [{}, { stroke: () => color("accent"), width: 1.2, points: { show: false } }],
      hooks: { drawClear: [(plot) => this.drawMarks(plot)], setSelect: [(plot) => this.offer(plot)] },
    }, data, this.place);
  }

  drawMarks(plot) {
    const { left, width, top, height } = plot.bbox;
    for (const each of this.each.marked) {
      const from = Math.max(left, plot.valToPos(each.start / 1e9, "x", true));
      const to = Math.min(left + width, plot.valToPos(each.end / 1e9, "x", true));
      plot.ctx.fillStyle = color(each.mark === "fault" ? "bad-soft" : "ok-soft");
      plot.ctx.fillRect(from, top, Math.max(2, to - from), height);
    }
  }

  // Marks a stretch, in seconds since the epoch.
  async put(mark, start, end) {
    const times = { start: Math.round(start * 1e9), end: Math.round(end * 1e9) };
    const { marked } = await send("POST", "tune/marks", { device: this.device, metric: this.each.metric, mark, ...times });
    this.each.marked = marked;
    this.plot?.redraw();
    tell(`${moment(times.start)} to ${moment(times.end)} is marked as ${words[mark]}`);
    await this.changed();
  }

  // The same without a mouse: by keyboard or touch. The newest alarm is proposed.
  askStretch(found) {
    const alarm = this.each.were[0];
    const [start, end] = alarm ? [alarm.opened, alarm.cleared ?? found.end] : [found.end - hour, found.end];
    return attempt(() => ask({
      title: `Mark a stretch of ${this.each.metric}`, confirm: "Mark",
      fields: [
        field("From", "from", { type: "datetime-local", step: 1, required: true, value: local(start / 1e9) }),
        field("To", "to", { type: "datetime-local", step: 1, required: true, value: local(end / 1e9) }),
        field("Mark it as", "mark", { tag: "select", choices: Object.entries(words), value: "fault" }),
      ],
      submit: async (values) => {
        const [from, to] = [values.from, values.to].map((text) => new Date(text).getTime() / 1000);
        if (!(from < to)) throw new Error("The end has to be later than the beginning.");
        await this.put(values.mark, from, to);
      },
    }));
  }

  // What is selected with the mouse may be marked.
  offer(plot) {
    if (plot.select.width < 3) { this.ask.hidden = true; return; }
    const [start, end] = [plot.posToVal(plot.select.left, "x"), plot.posToVal(plot.select.left + plot.select.width, "x")];
    const put = (mark) => attempt(async () => {
      await this.put(mark, start, end);
      this.ask.hidden = true;
      plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    });
    this.ask.hidden = false;
    fill(this.ask, h("b", {}, `${moment(start * 1e9)} to ${moment(end * 1e9)}`),
      h("button", { type: "button", onclick: () => put("fault") }, "This was a fault"),
      h("button", { type: "button", onclick: () => put("normal") }, "This was normal"),
      h("button", { type: "button", class: "plain", onclick: () => put("none") }, "Take marks away"));
  }
}
