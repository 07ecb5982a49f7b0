// Numbers, times and durations as people read them. Times are nanoseconds since the epoch, as the API gives them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e7) return whole.format(value);
  if (size < 1e-12) return "0";
  if (size >= 1e7 || (size > 0 && size < 1e-3)) return value.toExponential(2);
  if (size >= 10000) return whole.format(value);
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
  return value.toFixed(digits);
}

export function count(value) {
  if (value >= 1e10) return `${(value / 1e9).toFixed(1)} G`;
  if (value >= 1e7) return `${(value / 1e6).toFixed(1)} M`;
  return whole.format(value);
}

export function rate(value) {
  return value >= 100 ? whole.format(value) : value >= 10 ? value.toFixed(0) : value.toFixed(1);
}

export function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 0.001) return "0 s";
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 129600) return `${(s / 3600).toFixed(s < 36000 ? 1 : 0)} h`;
  return `${Math.round(s / 86400)} d`;
}

export function ago(time, now) {
  if (time === null || time === undefined) return "never";
  const seconds = (now - time) / 1e9;
  return seconds < 2 ? "now" : `${duration(seconds)} ago`;
}

const pad = (n) => String(n).padStart(2, "0");

export function day(time) {
  const d = new Date(time / 1e6);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
}

export function clock(time) {
  const d = new Date(time / 1e6);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

// Seconds since the epoch as an input of type datetime-local takes them.
export function local(seconds) {
  return `${day(seconds * 1e9)}T${clock(seconds * 1e9)}`;
}

export function moment(time) {
  return time === null || time === undefined ? "–" : `${day(time)} ${clock(time)}`;
}
