// Alarms: triage. Those that need someone first, grouped by incident, acted on by mouse or keyboard, one or many at once.

import { actions, mayAct, toldOf, unshelve } from "./alarm_actions.js";
import { deviceLink, follow, get, instant, repeat, report } from "./api.js";
import { alarmRange } from "./device.js";
import { buttonGroup, fill, h, keepInAddress, setText, slash } from "./dom.js";
import { ago, count, duration, moment, number } from "./format.js";

const maxScore = 12;
const mostLoaded = 1000;
const severities = ["critical", "major", "minor"];
const states = [["active", "Active"], ["shelved", "Shelved"], ["cleared", "Cleared"], ["all", "All"]];
const empty = {
  active: ["No active alarm", "When a device behaves unlike itself, it appears here with the reason."],
  shelved: ["Nothing is shelved", "An alarm that is shelved waits here, out of the way, until its time is over."],
  cleared: ["No cleared alarm", "Alarms that have ended are kept here."],
  all: ["No alarm yet", "When a device behaves unlike itself, it appears here with the reason."],
};

const isShelved = (alarm) => alarm.state !== "cleared" && (alarm.shelved_until > Date.now() * 1e6 || alarm.is_muted || Boolean(alarm.maintenance));
const stateOf = (alarm) => (alarm.state === "cleared" ? "cleared" : isShelved(alarm) ? "shelved" : "active");
const rank = (alarm) => severities.indexOf(alarm.severity) + (alarm.severity && severities.includes(alarm.severity) ? 0 : 4);

export async function showAlarms({ root, search, signal }) {
  let alarms = [];
  let shown = [];
  let state = search.get("state") ?? "active";
  const open = new Set(search.getAll("incident").map(Number));
  const selected = new Set();
  let focused = null;

  const filter = h("input", { type: "search", placeholder: `Filter by device, metric or reason${slash()}`, "aria-label": "Filter by device, metric or reason", value: search.get("filter") ?? "", oninput: () => { remember(); draw(); } });
  const choice = buttonGroup("State", states, state, (value) => {
    state = value;
    choice.choose(value);
    selected.clear();
    remember();
    draw();
  });
  const found = h("span", { class: "dim", role: "status" });
  const all = h("input", { type: "checkbox", "aria-label": "Select all alarms shown", onchange: () => { for (const alarm of shown) if (all.checked) selected.add(alarm.alarm); else selected.delete(alarm.alarm); draw(); } });
  const bulk = h("div", { class: "bulk", role: "toolbar", "aria-label": "What to do with the selected alarms", hidden: true });
  const body = h("tbody");
  const table = h("div", { class: "panel scroll" }, h("table", { class: "alarms" },
    h("thead", {}, h("tr", {}, h(mayAct() ? "th" : "td", { class: "pick" }, mayAct() ? all : null), ["State", "Device", "What happened", "Value", "Peak score", "Opened", "Lasted"].map((title, i) => h("th", { scope: "col", class: i === 3 || i > 4 ? "right" : "" }, title)))), body));
  const nothing = h("div", { class: "panel empty", hidden: true });
  fill(root, h("h1", { class: "unseen" }, "Alarms"),
    h("div", { class: "bar" }, filter, choice, h("span", { class: "grow" }), found, h("a", { class: "link", href: "#/figures" }, "Figures")), bulk, table, nothing,
    mayAct() ? h("p", { class: "hint keys" }, "Keys: ↑ ↓ or j k move, Space selects, Enter opens, ", actions.map(([key, word], i) => [i ? ", " : "", h("b", {}, key), ` ${word.toLowerCase()}`]).flat(), ".") : null);

  function remember() {
    keepInAddress("#/alarms", { state: state === "active" ? undefined : state, filter: filter.value || undefined, incident: [...open] });
  }

  // What an action is about: the selected alarms, else the one in focus.
  function chosen() {
    const picked = shown.filter((alarm) => selected.has(alarm.alarm));
    return picked.length ? picked : shown.filter((alarm) => alarm.alarm === focused);
  }

  async function acted() {
    selected.clear();
    await load();
  }

  function drawBulk() {
    const picked = shown.filter((alarm) => selected.has(alarm.alarm));
    bulk.hidden = picked.length === 0;
    if (!picked.length) return;
    fill(bulk, h("b", {}, `${count(picked.length)} selected`),
      actions.map(([key, word, run]) => h("button", { type: "button", title: `Key ${key}`, onclick: () => run(picked, acted) }, word)),
      picked.some(isShelved) ? h("button", { type: "button", onclick: () => unshelve(picked, acted) }, "Unshelve") : null,
      h("button", { type: "button", class: "plain", onclick: () => { selected.clear(); draw(); } }, "Select none"));
  }

  function draw() {
    const words = filter.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (alarm) => words.every((word) => [alarm.device, alarm.metric, alarm.reason].some((text) => text.toLowerCase().includes(word)));
    const wanted = alarms.filter((alarm) => (state === "all" || stateOf(alarm) === state) && fits(alarm));
    const groups = new Map();
    for (const alarm of wanted) {
      const key = alarm.incident ?? alarm.alarm;
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(alarm);
    }
    for (const [key, word] of states.slice(0, 2)) setText(choice.querySelector(`[data-value="${key}"]`), `${word} ${count(alarms.filter((alarm) => stateOf(alarm) === key).length)}`);
    const now = Date.now() * 1e6;
    const rows = [];
    shown = [];
    const sorted = [...groups.entries()].sort(([, a], [, b]) => compare(a, b));
    for (const [key, members] of sorted) {
      members.sort((a, b) => Number(b.alarm === key) - Number(a.alarm === key) || a.opened - b.opened || a.alarm - b.alarm);
      const isOpen = open.has(key);
      const visible = isOpen ? members : members.slice(0, 1);
      shown.push(...visible);
      const others = members.slice(1);
      const active = others.filter((alarm) => alarm.state !== "cleared").length;
      rows.push(...visible.map((alarm, i) => makeRow(alarm, now, i ? null : { key, others: others.length, active, isOpen })));
    }
    const had = body.contains(document.activeElement);
    fill(body, rows);
    table.hidden = rows.length === 0;
    nothing.hidden = rows.length > 0;
    const [title, text] = words.length ? ["No alarm matches", "Change the filter above."] : empty[state];
    fill(nothing, h("b", {}, title), text);
    setText(found, `${count(wanted.length)} alarm${wanted.length === 1 ? "" : "s"}${groups.size < wanted.length ? ` in ${count(groups.size)} incident${groups.size === 1 ? "" : "s"}` : ""}${alarms.length < mostLoaded ? "" : `, of the newest ${count(mostLoaded)}`}`);
    all.checked = shown.length > 0 && shown.every((alarm) => selected.has(alarm.alarm));
    all.indeterminate = !all.checked && shown.some((alarm) => selected.has(alarm.alarm));
    if (had) focus(focused);
    drawBulk();
  }

  function compare(a, b) {
    const best = (group) => Math.min(...group.map((alarm) => (alarm.state === "cleared" ? 10 : rank(alarm) + (alarm.state === "acknowledged" ? 5 : 0))));
    const newest = (group) => Math.max(...group.map((alarm) => alarm.opened));
    return best(a) - best(b) || newest(b) - newest(a);
  }

  function makeRow(alarm, now, incident) {
    const range = alarmRange(alarm);
    const link = deviceLink(alarm.device, { from: instant(range.from), to: instant(range.to), series: alarm.series });
    const bar = h("i");
    bar.style.width = `${Math.min(100, (100 * alarm.peak_score) / maxScore)}%`;
    const isActive = alarm.state !== "cleared";
    const unit = alarm.unit ? ` ${alarm.unit}` : "";
    const box = mayAct() ? h("input", { type: "checkbox", "aria-label": `Select the alarm of ${alarm.device}`, onchange: () => toggle(alarm.alarm) }) : null;
    if (box) box.checked = selected.has(alarm.alarm);
    const row = h("tr", { class: `go${selected.has(alarm.alarm) ? " selected" : ""}${incident ? "" : " member"}`, tabindex: "0", "data-alarm": alarm.alarm,
      onfocus: () => { focused = alarm.alarm; },
      onclick: (event) => { if (!event.target.closest("a, input, button")) location.hash = link; } },
      h("td", { class: "pick" }, box),
      h("td", {}, h("span", { class: `chip ${isActive ? (isShelved(alarm) ? "" : alarm.state) : ""}` }, isShelved(alarm) ? (alarm.is_muted ? "muted" : "shelved") : alarm.state), h("span", { class: "sub" }, alarm.severity), whose(alarm)),
      h("td", { class: "device" }, h("a", { href: link }, h("b", {}, alarm.device)), h("span", { class: "sub" }, alarm.metric),
        incident?.others ? h("button", { type: "button", class: "more-alarms", "aria-expanded": String(incident.isOpen), onclick: () => unfold(incident.key) }, incident.isOpen ? "Show the first alone" : `+ ${count(incident.others)} more of this incident${alarm.state === "cleared" && incident.active ? `, ${count(incident.active)} open` : ""}`) : null),
      h("td", { class: "wide" }, alarm.reason, alarm.note ? h("span", { class: "sub note" }, `“${alarm.note}”`) : null, alarm.feedback ? h("span", { class: "sub" }, `marked ${alarm.feedback}`) : null, toldOf(alarm)),
      h("td", { class: "right" }, alarm.value === null ? "" : `${number(alarm.value)}${unit}`, h("span", { class: "sub" }, alarm.expected === null ? "" : `expected ${number(alarm.expected)}${unit}`)),
      h("td", { class: "still" }, h("span", { class: "meter bad" }, bar), ` ${alarm.peak_score.toFixed(1)}`),
      h("td", { class: "right" }, moment(alarm.opened), h("span", { class: "sub" }, ago(alarm.opened, now))),
      h("td", { class: "right" }, isActive ? "still open" : duration((alarm.cleared - alarm.opened) / 1e9), alarm.cleared_reason ? h("span", { class: "sub" }, alarm.cleared_reason) : null));
    return row;
  }

  function whose(alarm) {
    if (isShelved(alarm)) return h("span", { class: "sub" }, alarm.is_muted ? "the device is muted" : alarm.maintenance ? `maintenance: ${alarm.maintenance}` : `until ${moment(alarm.shelved_until)}`);
    return alarm.acknowledged_by && alarm.state === "acknowledged" ? h("span", { class: "sub" }, `by ${alarm.acknowledged_by}`) : null;
  }

  function toggle(id) {
    if (selected.has(id)) selected.delete(id); else selected.add(id);
    draw();
  }

  function unfold(key) {
    if (open.has(key)) open.delete(key); else open.add(key);
    remember();
    draw();
  }

  function focus(id) {
    body.querySelector(`tr[data-alarm="${Number(id)}"]`)?.focus({ preventScroll: false });
  }

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "/" && document.activeElement !== filter) { event.preventDefault(); filter.focus(); return; }
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    const step = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    if (step && shown.length) {
      event.preventDefault();
      const here = shown.findIndex((alarm) => alarm.alarm === focused);
      focus(shown[Math.min(shown.length - 1, Math.max(0, here < 0 ? 0 : here + step))].alarm);
    } else if (event.key === " " && event.target.matches("tr") && mayAct()) {
      event.preventDefault();
      toggle(focused);
    } else if (event.key === "Enter" && event.target.matches("tr")) {
      event.target.querySelector("a").click();
    } else {
      const action = mayAct() && actions.find(([key]) => key === event.key);
      if (action && chosen().length) { event.preventDefault(); action[2](chosen(), acted); }
    }
  }, { signal });

  async function load() {
    ({ alarms } = await get("alarms", { limit: mostLoaded }, signal));
    const known = new Set(alarms.map((alarm) => alarm.alarm));
    for (const id of selected) if (!known.has(id)) selected.delete(id);
    draw();
  }

  follow({ points: "none" }, { alarms: () => load().catch(report), gap: () => load().catch(report) }, signal);
  await load();
  await repeat(load, 10, signal);
}
