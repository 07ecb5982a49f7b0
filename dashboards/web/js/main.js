// The page's frame: which view is shown, the live line of counts, health, and what went wrong.

import { showAlarms } from "./alarms.js";
import { UnreachableError, get, me, report, signOut, whoAmI } from "./api.js";
import { showApi } from "./api_reference.js";
import { showDevice } from "./device.js";
import { fill, h, setText } from "./dom.js";
import { showFigures } from "./figures.js";
import { showFleet } from "./fleet.js";
import { count, duration, rate } from "./format.js";
import { showFunctions } from "./functions.js";
import { showHelp } from "./help.js";
import { showPipeline } from "./pipeline.js";
import { newest, pulse, rateOf, startPulse, sum } from "./pulse.js";
import { showSettings } from "./settings.js";
import { showSignIn } from "./sign_in.js";
import { showSimulator } from "./simulator.js";
import { showStreams } from "./streams.js";
import { showTraces } from "./traces.js";
import { showTune } from "./tune.js";
import { showWorkflows } from "./workflows.js";

const main = document.getElementById("main");
let current = new AbortController();
let unreached = false;

function readAddress() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/");
  let name = "";
  try { name = decodeURIComponent(rest.join("/")); } catch { name = rest.join("/"); }
  return { view: view || "fleet", name, search: new URLSearchParams(search) };
}

function show() {
  current.abort();
  current = new AbortController();
  unreached = false;
  const { view, name, search } = readAddress();
  const views = { fleet: showFleet, device: showDevice, alarms: showAlarms, figures: showFigures, pipeline: showPipeline, traces: showTraces, tune: showTune, simulator: showSimulator, streams: showStreams, functions: showFunctions, workflows: showWorkflows, settings: showSettings, help: showHelp, api: showApi };
  const within = { device: "fleet", tune: "fleet", figures: "alarms", traces: "pipeline", api: "help" };
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.dataset.view === (within[view] ?? view);
    if (here) link.hidden = false;
    if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  showLinkHere();
  document.title = view === "device" ? `${name} · Driftline` : "Driftline";
  const place = history.state?.place;
  if (!history.state) history.replaceState({ place: 0 }, "");
  scrollTo(0, 0);
  fill(main, h("div", { class: "empty", id: "loading" }, "Loading"));
  if (me?.sign_in && !me.name) {
    showSignIn({ root: main, done: () => { drawMe(); show(); } });
    return;
  }
  if (!views[view]) {
    fill(main, h("div", { class: "empty" }, h("b", {}, "There is no such view"), wayBack("")));
    return;
  }
  views[view]({ root: main, name, search, signal: current.signal }).then(() => { if (place) scrollTo(0, place); }).catch((error) => {
    if (error.name === "AbortError") return;
    unreached = error instanceof UnreachableError;
    fill(main, h("div", { class: "empty", role: "alert" }, h("b", {}, "This cannot be shown"),
      h("p", {}, unreached ? `${error.message}. It is shown as soon as there is an answer.` : error.message), wayBack(view)));
  });
}

// Where the links are wider than the screen, the one to the view that is shown is in sight.
function showLinkHere() {
  document.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// From what cannot be shown to where there is something.
function wayBack(view) {
  const [href, place] = { figures: ["#/alarms", "alarms"], traces: ["#/traces", "traces"], streams: ["#/streams", "streams"], functions: ["#/functions", "functions"], workflows: ["#/workflows", "workflows"] }[view] ?? ["#/", "fleet"];
  return h("p", {}, h("a", { href }, h("u", {}, `Go to the ${place}`)));
}

function startHeader() {
  const ticker = document.getElementById("ticker");
  const items = {};
  for (const [key, label] of [["lag", "lag"], ["messages", "messages/s"], ["rejected", "rejected"], ["points", "points/s"], ["anomalies", "anomalies"]]) {
    items[key] = h("b", {}, "–");
    ticker.append(h("div", { "data-count": key }, items[key], h("span", {}, label)));
  }
  const badge = document.getElementById("alarm-badge");
  pulse.addEventListener("counts", () => {
    const now = newest();
    if (!now) return;
    setText(items.messages, rate(rateOf((c) => c.messages)));
    setText(items.points, rate(rateOf((c) => c.stored + c.late)));
    setText(items.anomalies, count(now.anomalies));
    setText(items.rejected, count(sum(now.rejected)));
    setText(items.lag, duration(now.lag_seconds));
    items.lag.className = now.lag_seconds > 10 ? "bad" : now.lag_seconds > 2 ? "warn" : "";
    badge.hidden = now.open_alarms === 0;
    setText(badge.firstChild, count(now.open_alarms));
    badge.title = `Alarms that are not cleared yet, acknowledged ones too: ${count(now.open_alarms)}${now.shelved_alarms ? `; shelved, and not counted: ${count(now.shelved_alarms)}` : ""}`;
  });

  const health = document.getElementById("health");
  const words = { green: "all well", yellow: "look here", red: "not working" };
  const drawHealth = () => {
    const status = pulse.reachable ? pulse.health?.status : "red";
    if (!status) return;
    health.dataset.status = status;
    setText(health.querySelector("span"), pulse.reachable ? words[status] : "not reachable");
    health.title = (pulse.health?.stages ?? []).map((stage) => `${stage.stage}: ${stage.message}`).join("\n");
  };
  pulse.addEventListener("health", drawHealth);

  let notice = null;
  pulse.addEventListener("reachable", () => {
    drawHealth();
    notice?.remove();
    notice = pulse.reachable ? null : h("div", { class: "offline", role: "alert" }, "Driftline does not answer; trying again");
    if (notice) document.body.append(notice);
    else if (unreached) show();
  });
}

addEventListener("driftline-error", (event) => {
  if (pulse.reachable) console.warn(`Driftline: ${event.detail.message}`);
});
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.name === "AbortError") event.preventDefault(); else report(event.reason);
});
addEventListener("hashchange", show);
// Where the reader was, for the way back.
history.scrollRestoration = "manual";
let settling = 0;
addEventListener("scroll", () => {
  clearTimeout(settling);
  settling = setTimeout(() => history.replaceState({ place: Math.round(scrollY) }, ""), 150);
}, { passive: true });
addEventListener("keydown", (event) => {
  if (event.key === "?" && !event.target.closest("input, select, textarea")) location.hash = "#/help";
});
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); main.focus(); });
addEventListener("driftline-sign-in", () => {
  if (me?.sign_in && !me.name) return;
  whoAmI().then(() => { drawMe(); show(); }).catch(report);
});

// Who is signed in, with the way out; nothing where nobody signs in here.
function drawMe() {
  const place = document.getElementById("me");
  place.hidden = !me?.name || me.kind === "open";
  fill(place, h("span", { title: me?.role ?? "" }, me?.name ?? ""), me?.kind === "session"
    ? h("button", { type: "button", onclick: () => signOut().then(() => { drawMe(); show(); }).catch(report) }, "Sign out") : null);
}

// A plant without simulated devices needs no link to them; the view is there all the same. Some start after the service.
async function showLinkToSimulator(again = true) {
  const { fleets } = await get("simulator", { faults: 0 });
  document.querySelector('nav a[data-view="simulator"]').toggleAttribute("hidden", fleets.length === 0 && readAddress().view !== "simulator");
  if (!fleets.length && again) setTimeout(() => showLinkToSimulator(false).catch(() => {}), 30000);
}

// Where nothing is asked of the streams, no link leads there; the view is there all the same, and says how to ask.
async function showLinkToStreams() {
  const { streams } = await get("streams");
  document.querySelector('nav a[data-view="streams"]').toggleAttribute("hidden", streams.length === 0 && readAddress().view !== "streams");
}

// The same of functions.
async function showLinkToFunctions() {
  const { functions } = await get("functions");
  document.querySelector('nav a[data-view="functions"]').toggleAttribute("hidden", functions.length === 0 && readAddress().view !== "functions");
}

// The same of workflows.
async function showLinkToWorkflows() {
  const { workflows } = await get("workflows");
  document.querySelector('nav a[data-view="workflows"]').toggleAttribute("hidden", workflows.length === 0 && readAddress().view !== "workflows");
}

startHeader();
whoAmI().catch(report).finally(() => {
  startPulse();
  drawMe();
  show();
  if (!me?.sign_in || me.name) {
    Promise.allSettled([showLinkToSimulator(), showLinkToStreams(), showLinkToFunctions(), showLinkToWorkflows()]).then(showLinkHere);
  }
});
