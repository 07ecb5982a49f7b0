// The service's counts and health, asked for once and shared by the header and the pipeline view.

import { ApiError, get, me, repeat } from "./api.js";

const kept = 600;

export const pulse = new EventTarget();
pulse.samples = [];
pulse.health = null;
pulse.reachable = true;

export function startPulse() {
  const forever = new AbortController().signal;
  repeat(async () => {
    if (me?.sign_in && !me.name) return;
    try {
      pulse.samples.push(await get("counts"));
      pulse.samples.splice(0, pulse.samples.length - kept);
      setReachable(true);
    } catch (error) {
      setReachable(error instanceof ApiError);
    }
    pulse.dispatchEvent(new Event("counts"));
  }, 1, forever);
  repeat(async () => {
    try { pulse.health = await get("health"); } catch { pulse.health = null; }
    pulse.dispatchEvent(new Event("health"));
  }, 3, forever);
}

function setReachable(now) {
  if (now === pulse.reachable) return;
  pulse.reachable = now;
  pulse.dispatchEvent(new Event("reachable"));
}

export function newest() {
  return pulse.samples.at(-1) ?? null;
}

export function sum(reasons) {
  return Object.values(reasons).reduce((total, each) => total + each, 0);
}

// How fast a count grows, per second, over about the last five seconds.
export function rateOf(count) {
  const now = newest();
  const before = pulse.samples.findLast((sample) => now.time - sample.time >= 4.5e9) ?? pulse.samples[0];
  return now && now.time > before.time ? Math.max(0, (count(now) - count(before)) / ((now.time - before.time) / 1e9)) : 0;
}
