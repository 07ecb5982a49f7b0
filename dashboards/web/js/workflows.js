// Workflows: what each is started by, its runs, and its definition as a picture with where the chosen run stands.

import { get, may, repeat, send } from "./api.js";
import { ask, attempt, field, tell } from "./dialog.js";
import { asCards, fill, h } from "./dom.js";
import { count, duration, moment } from "./format.js";
import { marksOf } from "./workflow_marks.js";
import { picture } from "./workflow_picture.js";
import { chip, standing, wholeRun } from "./workflow_run.js";

/**
 * @typedef {import("./workflow_marks.js").Run} Run
 *
 * @typedef {object} Workflow A workflow as `GET /api/v1/workflows` tells of it.
 * @property {string} name
 * @property {string} file
 * @property {Record<string, unknown>} trigger
 * @property {string} problem
 * @property {Run | null} newest
 * @property {import("./workflow_marks.js").Machine} [definition]
 * @property {Run[]} [runs]
 */

const mostRuns = 100;
const mostCounted = 1000;
// Wider pictures stand above the runs, not beside them.
const widestBeside = 440;

/** @param {{root: HTMLElement, name: string, signal: AbortSignal}} view */
export async function showWorkflows({ root, name, signal }) {
  const [workflow, run = ""] = name.split("/");
  if (workflow) await showWorkflow(root, workflow, run, signal); else await showList(root, signal);
}

/** @param {HTMLElement} root @param {AbortSignal} signal */
async function showList(root, signal) {
  const place = h("div", { class: "panel scroll" });
  fill(root, h("div", { class: "crumbs" }, h("h1", {}, "Workflows"), h("span", { class: "dim" }, "steps one after another, over days and restarts")), place);
  await repeat(async () => {
    /** @type {{workflows: Workflow[]}} */
    const { workflows } = await get("workflows", {}, signal);
    /** @type {{runs: Run[]}} */
    const { runs } = workflows.length ? await get("workflows/runs", { limit: mostCounted }, signal) : { runs: [] };
    fill(place, workflows.length ? list(workflows, runs) : nothing());
    asCards(place);
  }, 2, signal);
}

function nothing() {
  return h("div", { class: "empty" }, h("b", {}, "No workflow is declared yet"),
    h("p", {}, "A workflow is a definition of steps, such as a function, a wait, a person's approval, of which every run goes on where it was after a restart."),
    h("p", {}, "To declare one, write this into the ", h("a", { href: "#/settings?tab=configuration" }, h("u", {}, "configuration")), ", with its definition in a file beside it:"),
    h("pre", {}, '[[workflows]]\nname = "repair"\nfile = "repair.json"\ntrigger = { type = "alarm", states = ["open"], severities = ["critical"] }'),
    h("p", {}, "It appears here once it is in force, with its runs. It needs the extra ", h("code", {}, "workflows"), "."));
}

/** @param {Workflow[]} workflows @param {Run[]} runs */
function list(workflows, runs) {
  const titles = ["Workflow", "Started by", "Under way", "Succeeded", "Failed", "Newest run"];
  const of = (workflow, states) => runs.filter((run) => run.workflow === workflow.name && states.includes(run.state)).length;
  return [h("table", {},
    h("thead", {}, h("tr", {}, titles.map((title, i) => h("th", { scope: "col", class: i > 1 ? "right" : "" }, title)))),
    h("tbody", {}, workflows.map((each) => h("tr", { class: "go", onclick: () => { location.hash = link(each.name); } },
      h("td", { class: "device" }, h("a", { href: link(each.name) }, h("b", {}, each.name)),
        each.problem ? h("span", { class: "sub bad" }, each.problem) : null),
      h("td", {}, triggerOf(each)),
      h("td", { class: "right" }, count(of(each, ["running"]))),
      h("td", { class: "right" }, count(of(each, ["succeeded"]))),
      h("td", { class: `right ${of(each, ["failed"]) ? "bad" : ""}` }, count(of(each, ["failed"]))),
      h("td", { class: "right" }, each.newest ? moment(each.newest.started) : "–",
        each.newest ? h("span", { class: "sub" }, each.newest.state) : null))))),
  runs.length === mostCounted ? h("p", { class: "pad dim" }, `Counted are the newest ${count(mostCounted)} runs.`) : null];
}

/** @param {string} name @param {string} [run] */
function link(name, run = "") {
  return `#/workflows/${[name, run].filter(Boolean).map(encodeURIComponent).join("/")}`;
}

/** @param {Workflow} each */
function triggerOf(each) {
  const { type, ...rest } = each.trigger;
  const said = Object.values(rest).flat().map((value) => (typeof value === "object" ? JSON.stringify(value) : String(value))).join(", ");
  if (type === "http") return "by hand";
  return said ? `${type}: ${said}` : String(type);
}

/** @param {HTMLElement} root @param {string} name @param {string} run @param {AbortSignal} signal */
async function showWorkflow(root, name, run, signal) {
  const drawing = h("section", { class: "panel" });
  const chosen = h("section", { class: "panel", id: "run", hidden: !run });
  const runs = h("div", { class: "scroll" });
  const load = async () => {
    /** @type {Workflow} */
    const workflow = await get(`workflows/${encodeURIComponent(name)}`, { limit: mostRuns }, signal);
    /** @type {Run | null} */
    const one = run ? await get(`workflows/runs/${encodeURIComponent(run)}`, {}, signal) : null;
    return { workflow, one };
  };
  const places = h("div", { class: "two uneven flow-view" }, drawing, h("div", { class: "stack" }, chosen, h("section", { class: "panel" }, h("h2", {}, "Runs"), runs)));
  let drawn = "";
  const draw = async () => {
    const found = await load();
    // What is open to be read stays open while nothing new has come.
    const now = JSON.stringify(found);
    if (now === drawn) return;
    drawn = now;
    fill(drawing, definition(found.workflow, found.one));
    places.classList.toggle("above", (drawing.querySelector("svg")?.width.baseVal.value ?? 0) > widestBeside);
    if (found.one) fill(chosen, wholeRun(found.one, (next) => { location.hash = link(name, next); }, draw));
    fill(runs, runTable(found.workflow, run));
    asCards(chosen);
    asCards(runs);
  };
  const first = await load();
  const start = () => startRun(first.workflow);
  fill(root, h("div", { class: "bar" }, h("a", { class: "link", href: "#/workflows" }, "‹ Workflows"), h("h1", {}, name),
    h("span", { class: "dim" }, `started ${triggerOf(first.workflow) === "by hand" ? "by hand" : `by ${triggerOf(first.workflow)}`}`), h("span", { class: "grow" }),
    may("operator") ? h("button", { type: "button", class: "primary", onclick: start }, "Start a run") : null),
  places);
  await repeat(draw, 1, signal);
}

/** @param {Workflow} workflow @param {Run | null} run */
function definition(workflow, run) {
  const machine = run?.definition ?? workflow.definition;
  const changed = run && JSON.stringify(run.definition) !== JSON.stringify(workflow.definition);
  return [h("h2", {}, run ? `Where ${run.run} stands` : "Definition"),
    workflow.problem ? h("p", { class: "pad bad" }, workflow.problem) : null,
    changed ? h("p", { class: "pad dim" }, "The definition has changed since this run began; the run keeps this one.") : null,
    run || !workflow.problem ? picture(workflow.name, machine, run ? marksOf(run) : new Map()) : null];
}

/** @param {Workflow} workflow @param {string} chosen */
function runTable(workflow, chosen) {
  const found = workflow.runs ?? [];
  if (!found.length) return h("div", { class: "empty" }, "No run has begun yet.");
  return [h("table", {},
    h("thead", {}, h("tr", {}, ["Run", "State", "Stands at", "Begun"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, found.map((run) => h("tr", { class: run.run === chosen ? "go chosen" : "go", onclick: () => { location.hash = link(workflow.name, run.run); } },
      h("td", { class: "still" }, h("a", { href: link(workflow.name, run.run), "aria-current": run.run === chosen ? "true" : null }, h("b", {}, run.run))),
      h("td", {}, chip(run)), h("td", {}, standing(run)),
      h("td", { class: "still" }, moment(run.started), run.ended === null ? null : h("span", { class: "sub" }, `ended after ${duration((run.ended - run.started) / 1e9)}`)))))),
  found.length === mostRuns ? h("p", { class: "pad dim" }, `The newest ${count(mostRuns)} runs.`) : null];
}

/** @param {Workflow} workflow */
function startRun(workflow) {
  return attempt(() => ask({
    title: `Start a run of ${workflow.name}`, confirm: "Start",
    fields: [field("Input, as JSON", "input", { tag: "textarea", rows: 6, value: "{}", class: "mono" })],
    submit: async ({ input }) => {
      let value;
      try { value = JSON.parse(input); } catch (error) { throw new Error(`The input is not JSON: ${error.message}`, { cause: error }); }
      const { run } = await send("POST", `workflows/${encodeURIComponent(workflow.name)}/runs`, value);
      tell(`${run} has begun`);
      location.hash = link(workflow.name, run);
    },
  }));
}
