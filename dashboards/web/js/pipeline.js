// The pipeline: how each stage does, how fast messages flow, and where every reading ended.

import { mayAct } from "./alarm_actions.js";
import { get, repeat, send } from "./api.js";
import { attempt, tell } from "./dialog.js";
import { asCards, color, fill, h, prose } from "./dom.js";
import { count, duration, moment, rate } from "./format.js";
import { reasons as meanings } from "./reasons.js";
import { newest, pulse, rateOf, sum } from "./pulse.js";

const mostAgain = 1000;

export async function showPipeline({ root, signal }) {
  const stages = h("div", { class: "stages" });
  const tiles = h("div", { class: "tiles" });
  const plot = h("div", { class: "rates" });
  const ledger = h("tbody");
  const letters = h("div", { class: "scroll" });
  const bulk = h("div", { class: "bar pad", hidden: true });
  fill(root, h("h1", { class: "unseen" }, "Pipeline"), stages, tiles,
    h("div", { class: "two uneven" },
      h("section", { class: "panel" }, h("h2", {}, "Flow, per second"),
        h("div", { class: "legend inset" }, h("span", { class: "key" }, "messages"), h("span", { class: "key expected" }, "points stored")), plot),
      h("section", { class: "panel" }, h("h2", {}, "Where every reading went"), h("table", { class: "ledger" }, ledger))),
    h("section", { class: "panel" }, h("h2", {}, "Dead letters, newest first"), bulk, letters),
    h("p", { class: "hint" }, "One message, stage by stage: ", h("a", { href: "#/traces" }, h("u", {}, "traces")), ". For machines: ", h("a", { href: "metrics" }, h("u", {}, "Prometheus metrics")), ", ", h("a", { href: "api/v1/openapi.json" }, h("u", {}, "OpenAPI description")), "."));

  const chart = new RateChart(plot);
  signal.addEventListener("abort", () => chart.close());
  addEventListener("driftline-theme", () => chart.redraw(), { signal });

  function drawHealth() {
    fill(stages, (pulse.health?.stages ?? []).map((stage) =>
      h("section", { class: "panel stage" }, h("h2", {}, h("span", { class: "dot", "data-status": stage.status }), stage.stage), h("p", {}, prose(stage.message)))));
  }

  function drawCounts() {
    const now = newest();
    if (!now) return;
    const tile = (label, value, small = "", name = "") => h("div", { class: "tile" }, h("span", {}, label), h("b", { class: name }, value), h("small", {}, small));
    fill(tiles,
      tile("Messages per second", rate(rateOf((c) => c.messages)), `${count(now.messages)} in all`),
      tile("Points per second", rate(rateOf((c) => c.stored + c.late)), `${count(now.stored + now.late)} in all`),
      tile("Anomalies", count(now.anomalies), now.stored ? `${((100 * now.anomalies) / now.stored).toFixed(2)} % of points` : ""),
      tile("Alarms", count(now.alarms), `${count(now.open_alarms)} open${now.shelved_alarms ? `, ${count(now.shelved_alarms)} shelved` : ""}`, now.open_alarms ? "bad" : ""),
      tile("Behind", duration(now.lag_seconds), `${count(now.lag_messages)} message${now.lag_messages === 1 ? "" : "s"}`, now.lag_seconds > 10 ? "bad" : now.lag_seconds > 2 ? "warn" : ""));
    drawLedger(now);
    chart.draw();
  }

  function drawLedger(now) {
    const row = (label, value, kind = "", name = "", title = "") => {
      const bar = h("i", { class: `share ${kind} ${value ? "" : "none"}` });
      bar.style.width = `${now.received ? (100 * value) / now.received : 0}%`;
      const told = title && value ? h("tr", { class: "meaning" }, h("td", { class: name, colspan: "3" }, title)) : null;
      return [h("tr", {}, h("td", { class: name }, label), h("td", { class: "right" }, count(value)), h("td", {}, bar)), told];
    };
    const reasons = (counts, kind) => Object.entries(counts).sort((a, b) => b[1] - a[1]).flatMap(([reason, value]) => row(reason.replaceAll("_", " "), value, kind, "indent", meanings[reason]));
    const placed = now.stored + now.late + now.duplicates + sum(now.rejected) + sum(now.dropped) + now.in_flight;
    const off = now.received - placed;
    fill(ledger,
      row("Stored", now.stored), row("Stored late", now.late, "warn", "", "Stored too, behind newer ones of their series."), row("Duplicates", now.duplicates, "warn", "", "Come already: stored once."),
      row("Rejected", sum(now.rejected), "bad", "", "Could not be read: kept among the dead letters below."), reasons(now.rejected, "bad"),
      row("Dropped", sum(now.dropped), "", "", "Holds no number to store, or is left out as configured: nothing is lost."), reasons(now.dropped, ""),
      row("On the way", now.in_flight),
      h("tr", { class: "sum" }, h("td", {}, "Received"), h("td", { class: "right" }, count(now.received)),
        h("td", {}, off === 0 ? h("span", { class: "ok" }, "✓ the sum closes") : h("span", { class: "bad" }, `${count(Math.abs(off))} ${off > 0 ? "unaccounted for" : "too many"}`))),
      h("tr", { class: "upstream", title: "Messages that the broker says it dropped before they came here, of all its clients" },
        h("td", {}, "Lost at the broker"), h("td", { class: "right" }, count(now.upstream_dropped)),
        h("td", {}, now.upstream_dropped ? h("span", { class: "bad" }, "loss upstream, outside the sum") : h("span", { class: "ok" }, "none"))));
  }

  pulse.addEventListener("health", drawHealth, { signal });
  pulse.addEventListener("counts", drawCounts, { signal });
  drawHealth();
  drawCounts();

  // Rejected messages are read again, and what came of it is told.
  const again = (what) => attempt(async () => {
    const { sentence, detail } = await send("POST", "dead-letters/retry", what);
    tell([sentence, detail].filter(Boolean).join(". "), detail ? "bad" : "ok");
    await drawLetters();
  });

  async function drawLetters() {
    const { dead_letters: found, reasons } = await get("dead-letters", { limit: 25 }, signal);
    fill(bulk, mayAct() && found.length ? [h("span", { class: "dim grow" }, "Once the route or the device is mended:"),
      ...Object.entries(reasons).map(([reason, many]) => h("button", { type: "button", onclick: () => again({ reason }) }, `Try ${count(Math.min(many, mostAgain))} ${reason.replaceAll("_", " ")} again`))] : []);
    bulk.hidden = !bulk.childElementCount;
    fill(letters, found.length ? h("table", {},
      h("thead", {}, h("tr", {}, ["Arrived", "Topic", "Reason", "Detail", "Payload", ...(mayAct() ? ["Action"] : [])].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, found.map((letter) => h("tr", {},
        h("td", { class: "still" }, moment(letter.arrival)),
        h("td", {}, letter.topic),
        h("td", {}, h("span", { class: "chip warning" }, letter.reason.replaceAll("_", " "))),
        h("td", {}, prose(letter.detail)),
        h("td", { class: "mono" }, shorten(letter.payload ?? `base64 ${letter.payload_base64}`), h("span", { class: "sub" }, shorten(properties(letter)))),
        mayAct() ? h("td", {}, h("button", { type: "button", "aria-label": `Try the message on ${letter.topic} again`, onclick: () => again({ offsets: [letter.offset] }) }, "Try again")) : null))))
      : h("div", { class: "empty" }, "Nothing was rejected."));
    asCards(letters);
  }

  await repeat(drawLetters, 5, signal);
}

// What a message of MQTT 5 says of itself.
function properties({ content_type: type, user_properties: user }) {
  return [type, ...Object.entries(user).map(([name, value]) => `${name}=${value}`)].filter(Boolean).join(" ");
}

function shorten(text) {
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}

const plotHeight = 256;

// Rates over the last minutes, from the counts that this page has seen.
class RateChart {
  constructor(element) {
    this.element = element;
    this.plot = null;
    this.observer = new ResizeObserver(() => this.plot?.setSize({ width: element.clientWidth - 20, height: plotHeight }));
    this.observer.observe(element);
  }

  columns() {
    const [x, messages, points] = [[], [], []];
    for (let i = 1; i < pulse.samples.length; i += 1) {
      const [a, b] = [pulse.samples[i - 1], pulse.samples[i]];
      const seconds = (b.time - a.time) / 1e9;
      if (seconds <= 0) continue;
      x.push(b.time / 1e9);
      messages.push(Math.max(0, b.messages - a.messages) / seconds);
      points.push(Math.max(0, b.stored + b.late - a.stored - a.late) / seconds);
    }
    return [x, messages, points];
  }

  draw() {
    const data = this.columns();
    if (data[0].length < 2) return;
    if (this.plot) { this.plot.setData(data); return; }
    const axis = { stroke: () => color("dim"), font: "11px system-ui, 'Liberation Sans', sans-serif", grid: { stroke: () => color("grid"), width: 1 }, ticks: { show: false } };
    const labels = [[1, "{HH}:{mm}:{ss}", null, null, null, null, null, null, 1]];
    this.plot = new uPlot({
      width: this.element.clientWidth - 20, height: plotHeight, padding: [8, 24, 0, 0], legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { range: (_, low, high) => [Math.min(low, high - 60), high] }, y: { range: (_, __, high) => [0, Math.max(1, (high ?? 0) * 1.1)] } },
      axes: [{ ...axis, values: labels, space: 80 }, { ...axis, size: 56 }],
      series: [{}, { stroke: () => color("accent"), fill: () => color("band"), width: 1.6, points: { show: false } }, { stroke: () => color("expected"), width: 1.4, dash: [5, 4], points: { show: false } }],
    }, data, this.element);
  }

  redraw() { this.plot?.redraw(false, true); }

  close() {
    this.observer.disconnect();
    this.plot?.destroy();
  }
}
