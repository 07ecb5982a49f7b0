// A score card as tables: what of the known faults was found, how soon, and what was raised for nothing.

import { h } from "./dom.js";
import { count } from "./format.js";

/**
 * A value with its interval of 95 % and the number of cases that it rests on, as the API gives them.
 * @typedef {{ value: number | null, low: number | null, high: number | null, cases: number }} Figure
 */

/** @param {Figure} figure */
function isKnown(figure) {
  return figure?.value !== null && figure?.value !== undefined;
}

/** @param {Figure} figure */
function withInterval(figure, digits = 2) {
  if (!isKnown(figure)) return "–";
  return `${figure.value.toFixed(digits)} [${figure.low.toFixed(digits)}, ${figure.high.toFixed(digits)}]`;
}

/** @param {Figure} figure */
export function plain(figure, digits = 2) {
  return isKnown(figure) ? figure.value.toFixed(digits) : "–";
}

/** @param {Figure} figure */
export function share(figure) {
  return isKnown(figure) ? `${Math.round(100 * figure.value)} %` : "–";
}

/** @param {Figure} figure */
function shareWithInterval(figure) {
  return isKnown(figure) ? `${share(figure)} [${Math.round(100 * figure.low)}, ${Math.round(100 * figure.high)}]` : "–";
}

/**
 * What is aimed at: figure, its name, the target in words, and whether a value reaches it.
 * @type {[string, string, string, ((value: number) => boolean) | null][]}
 */
const targets = [
  ["found", "Faults found", "at least 85 %", (v) => v >= 0.85],
  ["again", "Recurrences found", "as many as of first ones", null],
  ["precision", "Alarms that are at a fault", "at least 90 %", (v) => v >= 0.9],
  ["open_share", "Share of a fault's time with an alarm open", "at least 80 %", (v) => v >= 0.8],
  ["alarms_a_fault", "Alarms a fault", "at most 1.1", (v) => v <= 1.1],
  ["delay_readings", "Readings until the alarm, of what is there at once", "under 10", (v) => v < 10],
  ["false_rate", "False alarms a sensor and week", "", null],
];

function table(titles, rows) {
  return h("table", {},
    h("thead", {}, h("tr", {}, titles.map((title, at) => h("th", { scope: "col", class: at ? "right" : "" }, title)))),
    h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((cell, at) => h("td", { class: at ? "right" : "" }, cell))))));
}

function section(title, content) {
  return h("section", { class: "panel scroll" }, h("h2", {}, title), content);
}

const shares = new Set(["found", "again", "precision", "open_share"]);

function summary(card) {
  const rows = targets.map(([name, label, target, reaches]) => {
    const figure = card.overall[name];
    const mark = reaches && isKnown(figure) ? h("span", { class: `chip ${reaches(figure.value) ? "ok" : "warning"}` }, reaches(figure.value) ? "reached" : "missed") : "";
    return [label, shares.has(name) ? shareWithInterval(figure) : withInterval(figure), target, mark];
  });
  return section("Against the targets", table(["Figure", "Value, with its 95 % interval", "Target", "Result"], rows));
}

function kinds(card) {
  const worst = Object.entries(card.kinds).filter(([, f]) => f.faults > f.unseen).sort((a, b) => (a[1].found.value ?? 0) - (b[1].found.value ?? 0));
  return section("By kind of fault, the least found first", table(
    ["Kind", "Faults", "Found", "Again", "Delay, readings", "Open", "Alarms a fault"],
    worst.map(([kind, f]) => [kind.replaceAll("_", " "), count(f.faults - f.unseen), shareWithInterval(f.found), share(f.again), plain(f.delay_readings, 0), share(f.open_share), plain(f.alarms_a_fault)])));
}

function worlds(card) {
  if (Object.keys(card.worlds).length < 2) return null;
  return section("By world", table(["World", "Found", "Precision", "False a week"],
    Object.entries(card.worlds).map(([world, f]) => [world, shareWithInterval(f.found), shareWithInterval(f.precision), plain(f.false_rate)])));
}

function detectors(card) {
  const named = Object.entries(card.detectors).filter(([name]) => name);
  return named.length ? section("By what raised the alarm", table(["Detector", "First at faults", "Precision", "False a week"],
    named.map(([name, f]) => [name, count(f.faults), shareWithInterval(f.precision), plain(f.false_rate)]))) : null;
}

function missed(card) {
  const told = card.missed ?? [];
  return told.length ? section("Kinds missed, and why", h("table", {}, h("tbody", {}, told.map((one) => h("tr", {},
    h("td", {}, h("b", {}, one.kind.replaceAll("_", " ")), h("span", { class: "sub" }, `${one.missed} of ${one.faults} missed`)),
    h("td", {}, Object.entries(one.why).map(([why, n]) => `${why} (${n})`).join("; "), one.peak === null ? null : h("span", { class: "sub" }, `highest score ${one.peak.toFixed(1)}`))))))) : null;
}

/**
 * The sections of a card, as the API gives it.
 * @param {any} card
 */
export function scorecardSections(card) {
  return [h("div", { class: "two" }, h("div", { class: "stack" }, summary(card), kinds(card)), h("div", { class: "stack" }, worlds(card), missed(card), detectors(card)))];
}
