// A small line of the newest points, anomalies as dots.

import { color } from "./dom.js";

export const sparkPoints = 60;

export class Spark {
  constructor(found) {
    this.value = Array.from(found?.value ?? []);
    this.time = Array.from(found?.time ?? []);
    this.anomaly = Array.from(found?.anomaly ?? []);
  }

  get last() { return this.value.at(-1) ?? null; }

  get lastTime() { return this.time.at(-1) ?? null; }

  // Whether one of the newest few points is an anomaly.
  get odd() { return this.anomaly.slice(-5).some(Boolean); }

  push(time, value, anomaly) {
    if (time <= (this.lastTime ?? -Infinity)) return;
    this.value.push(value);
    this.time.push(time);
    this.anomaly.push(anomaly);
    if (this.value.length > sparkPoints) {
      this.value.shift();
      this.time.shift();
      this.anomaly.shift();
    }
  }
}

export function sparkColors() {
  return { line: color("accent"), bad: color("bad"), warn: color("warn") };
}

export function drawSpark(canvas, spark, colors) {
  const ratio = devicePixelRatio || 1;
  const width = 108 * ratio;
  const height = 25 * ratio;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const n = spark?.value.length ?? 0;
  if (n < 2) return;
  let low = Infinity;
  let high = -Infinity;
  for (const value of spark.value) { low = Math.min(low, value); high = Math.max(high, value); }
  const inset = 4 * ratio;
  const x = (i) => inset / 2 + (i / (n - 1)) * (width - inset);
  const y = (value) => high > low ? height - inset - ((value - low) / (high - low)) * (height - 2 * inset) : height / 2;
  context.lineWidth = 1.4 * ratio;
  context.lineJoin = "round";
  context.strokeStyle = colors.line;
  context.beginPath();
  spark.value.forEach((value, i) => (i ? context.lineTo(x(i), y(value)) : context.moveTo(x(i), y(value))));
  context.stroke();
  context.fillStyle = colors.bad;
  spark.anomaly.forEach((odd, i) => {
    if (!odd) return;
    context.beginPath();
    context.arc(x(i), y(spark.value[i]), 2.2 * ratio, 0, 7);
    context.fill();
  });
}
