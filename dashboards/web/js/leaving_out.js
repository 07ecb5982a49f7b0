// Values that are wrong: left out of charts and of what is learned, and put back.

import { mayAct } from "./alarm_actions.js";
import { instant, send } from "./api.js";
import { ask, attempt, field, tell } from "./dialog.js";
import { fill, h } from "./dom.js";
import { count, local, moment } from "./format.js";

// JavaScript's numbers round nanoseconds to some hundred: what is put back reaches this much further.
const rounding = 1000;
const values = (n) => `${count(n)} value${n === 1 ? "" : "s"}`;
const stretch = ({ start, end, points }) => `${values(points)}, ${moment(start)} to ${moment(end)}`;

export class LeavingOut {
  // Of one chart of a device; `changed` is called once values were left out, or put back.
  constructor(device, chart, changed) {
    this.device = device;
    this.chart = chart;
    this.changed = changed;
    const { metric } = chart.metric;
    this.bar = h("div", { class: "bulk", role: "toolbar", "aria-label": `Leave values of ${metric} out`, hidden: true });
    this.button = mayAct() ? h("button", { type: "button", class: "plain", onclick: () => this.begin() }, "Leave values out") : null;
    this.told = h("span", { class: "left-out" });
    chart.plots.before(this.bar);
    chart.missing.before(this.told);
    chart.onExcluded = () => this.tell();
  }

  // The next stretch that is dragged over is meant, in place of a zoom.
  begin() {
    this.chart.select = (from, to) => this.offer(from, to);
    this.show(h("b", {}, "Drag over the values that are wrong"), h("button", { type: "button", onclick: () => this.askStretch() }, "Give times"));
  }

  show(...parts) {
    this.bar.hidden = false;
    fill(this.bar, ...parts, h("button", { type: "button", class: "plain", onclick: () => this.end() }, "Cancel"));
    this.bar.querySelector("button").focus();
  }

  end() {
    this.chart.select = null;
    this.bar.hidden = true;
  }

  offer(from, to) {
    this.show(h("b", {}, `${moment(from * 1e9)} to ${moment(to * 1e9)}`),
      h("button", { type: "button", onclick: () => attempt(() => this.leaveOut(from, to)) }, "Leave these values out"));
  }

  // The same without a mouse.
  askStretch() {
    const { min, max } = this.chart.range;
    return attempt(() => ask({
      title: `Leave values of ${this.chart.metric.metric} out`, confirm: "Leave these values out",
      text: "They are in no chart, no aggregate and in nothing that is learned, and can be put back.",
      fields: [
        field("From", "from", { type: "datetime-local", step: 1, required: true, value: local(min) }),
        field("To", "to", { type: "datetime-local", step: 1, required: true, value: local(max) }),
        field("Why", "note", { placeholder: "loose cable" }),
      ],
      submit: async (given) => {
        const [from, to] = [given.from, given.to].map((text) => new Date(text).getTime() / 1000);
        if (!(from < to)) throw new Error("The end has to be later than the beginning.");
        await this.leaveOut(from, to, given.note);
      },
    }));
  }

  async leaveOut(from, to, note = "") {
    const times = { from: instant(from * 1e9), to: instant(to * 1e9) };
    const { excluded } = await this.put("exclude", times, note);
    this.end();
    tell(`${values(excluded)} of ${this.chart.metric.metric} left out`, "ok", () => this.putBack(times));
  }

  async putBack(times) {
    const { included } = await this.put("include", times);
    tell(`${values(included)} of ${this.chart.metric.metric} there again`);
  }

  async put(action, times, note = "") {
    const reply = await send("POST", "points/exclusions", { action, device: this.device, metric: this.chart.metric.metric, ...times, note });
    await this.changed();
    return reply;
  }

  // Says in the chart's head what is left out of the time shown.
  tell() {
    const { excluded } = this.chart;
    const text = `${values(excluded.reduce((sum, each) => sum + each.points, 0))} left out`;
    if (!excluded.length) fill(this.told);
    else fill(this.told, mayAct() ? h("button", { type: "button", class: "plain", onclick: () => this.askBack() }, text) : text);
  }

  askBack() {
    const { excluded } = this.chart;
    return attempt(() => ask({
      title: `Put values of ${this.chart.metric.metric} back`, confirm: "Put back",
      fields: [field("Left out", "which", { tag: "select", choices: excluded.map((each, i) => [String(i), stretch(each)]), value: "0" })],
      submit: async ({ which }) => {
        const { start, end } = excluded[Number(which)];
        await this.putBack({ from: instant(start - rounding), to: instant(end + rounding) });
      },
    }));
  }
}
