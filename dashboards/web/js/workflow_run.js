// One run of a workflow: where it stands, what waits for a person, its steps; decided on, taken up again, ended.

import { may, send } from "./api.js";
import { ask, attempt, field, tell } from "./dialog.js";
import { h } from "./dom.js";
import { count, duration, moment } from "./format.js";

/**
 * @typedef {import("./workflow_marks.js").Run} Run
 * @typedef {import("./workflow_marks.js").Step} Step
 */

/** @param {Run} run */
export function chip(run) {
  const name = { running: "warming", succeeded: "ok", failed: "critical" }[run.state] ?? "";
  return h("span", { class: `chip ${name}` }, run.state === "running" ? "under way" : run.state);
}

/** Where a run stands, in words. @param {Run} run */
export function standing(run) {
  if (run.failed_at) return [run.failed_at, h("span", { class: "sub bad" }, run.error)];
  if (run.state !== "running") return "–";
  if (!run.stands.length) return h("span", { class: "dim" }, "about to go on");
  return run.stands.map(({ place, doing }) => h("div", {}, place, h("span", { class: "sub" }, doing)));
}

/** All of a run; `go` shows another run, `draw` this one anew. @param {Run} run @param {(run: string) => void} go @param {() => Promise<void>} draw */
export function wholeRun(run, go, draw) {
  const steps = run.steps ?? [];
  return [
    h("h2", {}, run.run, " ", chip(run)),
    h("div", { class: "pad" }, h("p", { class: "dim" }, `Begun ${moment(run.started)}${run.ended === null ? "" : `, ended ${moment(run.ended)}`}`),
      run.error ? h("p", { class: "bad" }, `${run.failed_at ? `${run.failed_at}: ` : ""}${run.error}: ${run.cause}`) : null,
      may("operator") ? acts(run, go, draw) : null),
    ...run.stands.filter((each) => each.doing === "waiting for approval").map((each) => approval(run, each, draw)),
    steps.length ? h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Steps" }, stepTable(steps)) : h("p", { class: "pad dim" }, "No step is done yet."),
    h("div", { class: "pad" }, data("Input", run.input), run.state === "succeeded" ? data("Output", run.output) : null),
  ];
}

/** @param {string} title @param {any} value */
function data(title, value) {
  return h("details", {}, h("summary", {}, title), h("pre", {}, JSON.stringify(value, null, 2)));
}

/** @param {Run} run @param {(run: string) => void} go @param {() => Promise<void>} draw */
function acts(run, go, draw) {
  const path = `workflows/runs/${encodeURIComponent(run.run)}`;
  const resume = () => attempt(async () => {
    const { run: again } = await send("POST", `${path}/resume`);
    tell(`${again} goes on where ${run.run} failed`);
    go(again);
  });
  const cancel = () => attempt(() => ask({
    title: `Cancel ${run.run}`, text: "It ends before its next step. What is done stays done.", confirm: "End the run",
    submit: async () => {
      await send("POST", `${path}/cancel`);
      tell(`${run.run} is cancelled`);
      await draw();
    },
  }));
  return h("div", { class: "acts" },
    run.state === "failed" ? h("button", { type: "button", onclick: resume }, "Resume") : null,
    run.state === "running" ? h("button", { type: "button", onclick: cancel }, "Cancel the run") : null);
}

/** What a person is asked, and the answers. @param {Run} run @param {{place: string, asked: any}} waiting @param {() => Promise<void>} draw */
function approval(run, { place, asked }, draw) {
  const decide = (approve) => attempt(() => ask({
    title: `${approve ? "Approve" : "Refuse"} ${place}`, confirm: approve ? "Approve" : "Refuse",
    fields: [field("Comment (optional)", "comment", { maxlength: 1000 })],
    submit: async ({ comment }) => {
      await send("POST", `workflows/runs/${encodeURIComponent(run.run)}/decision`, { approve, state: place, comment });
      tell(`${place} is ${approve ? "approved" : "refused"}`);
      await draw();
    },
  }));
  const facts = asked !== null && typeof asked === "object" ? Object.entries(asked) : [["asked", asked]];
  return h("div", { class: "pad asked" }, h("h3", {}, `${place} waits for approval`),
    h("table", { class: "ledger" }, h("tbody", {}, facts.map(([key, value]) => h("tr", {}, h("td", {}, key), h("td", {}, typeof value === "string" ? value : JSON.stringify(value)))))),
    may("operator") ? h("div", { class: "acts" },
      h("button", { type: "button", class: "primary", onclick: () => decide(true) }, "Approve"),
      h("button", { type: "button", onclick: () => decide(false) }, "Refuse")) : null);
}

/** @param {Step[]} steps */
function stepTable(steps) {
  return h("table", {},
    h("thead", {}, h("tr", {}, ["Step", "Try", "Ended", "Gave"].map((title) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, steps.map((step) => h("tr", {},
      h("td", {}, h("b", {}, step.place), h("span", { class: "sub mono" }, step.key)),
      h("td", {}, count(step.attempt)),
      h("td", { class: "still" }, moment(step.ended), h("span", { class: "sub" }, `after ${duration((step.ended - step.started) / 1e9)}`)),
      h("td", { class: step.error ? "bad" : "" }, step.error ? [step.error, h("span", { class: "sub" }, step.cause)] : h("code", {}, JSON.stringify(step.result)))))));
}
