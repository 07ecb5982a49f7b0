// Where a run of a workflow has been: what its steps say of each state of its definition.

/**
 * @typedef {Record<string, any> & {Type: string}} State A state of the Amazon States Language.
 * @typedef {{StartAt: string, States: Record<string, State>}} Machine A definition, or a branch of one.
 *
 * @typedef {object} Way From a state to another.
 * @property {string} to
 * @property {"next" | "choice" | "default" | "catch"} kind
 * @property {string} label
 *
 * @typedef {object} Step
 * @property {string} place
 * @property {number} attempt
 * @property {string} key
 * @property {number} started
 * @property {number} ended
 * @property {any} result
 * @property {string} error
 * @property {string} cause
 *
 * @typedef {object} Run A run as the API tells of it; the last four where it was asked for alone.
 * @property {string} run
 * @property {string} workflow
 * @property {string} state
 * @property {number} started
 * @property {number | null} ended
 * @property {{place: string, doing: string, asked: any}[]} stands
 * @property {string} error
 * @property {string} cause
 * @property {string} failed_at
 * @property {Machine} [definition]
 * @property {any} [input]
 * @property {any} [output]
 * @property {Step[]} [steps]
 *
 * @typedef {object} Mark
 * @property {"failed" | "stands" | "caught" | "done"} kind "caught": it failed, and its Catch went on.
 * @property {string} doing
 * @property {number} times How many branches of a Map have it.
 *
 * @typedef {{name: string, visit: string, item: number}} Part
 * @typedef {{parts: Part[], wrong: boolean, doing: string}} Seen
 */

const heaviest = ["done", "caught", "stands", "failed"];
const mostRoutes = 64;
const comparisons = [["GreaterThanEquals", "≥"], ["LessThanEquals", "≤"], ["GreaterThan", ">"], ["LessThan", "<"], ["Equals", "="], ["Matches", "is like"]];

/** The machines within a state. @param {State} state @returns {Machine[]} */
export function machinesWithin(state) {
  if (state.Type === "Parallel") return state.Branches ?? [];
  return state.Type === "Map" ? [state.ItemProcessor ?? state.Iterator].filter(Boolean) : [];
}

/** The ways on from a state. @param {State} state @returns {Way[]} */
export function waysFrom(state) {
  /** @type {Way[]} */
  const ways = (state.Choices ?? []).map((rule) => ({ to: rule.Next, kind: "choice", label: ruleText(rule) }));
  if (state.Default) ways.push({ to: state.Default, kind: "default", label: "otherwise" });
  if (state.Next) ways.push({ to: state.Next, kind: "next", label: "" });
  for (const { Next, ErrorEquals } of state.Catch ?? []) ways.push({ to: Next, kind: "catch", label: ErrorEquals.map((error) => error.replace(/^(States|Driftline)\./, "")).join(" or ") });
  return ways;
}

/** A rule of a Choice as people write it. @param {Record<string, any>} rule @returns {string} */
function ruleText(rule) {
  if (rule.And) return rule.And.map(ruleText).join(" and ");
  if (rule.Or) return rule.Or.map(ruleText).join(" or ");
  if (rule.Not) return `not (${ruleText(rule.Not)})`;
  const variable = String(rule.Variable ?? "").replace(/^\$\./, "");
  const [name, value] = Object.entries(rule).find(([key]) => !["Variable", "Next", "Comment"].includes(key)) ?? ["", ""];
  const sign = comparisons.find(([word]) => name.replace(/Path$/, "").endsWith(word))?.[1];
  if (sign) return `${variable} ${sign} ${typeof value === "string" ? value.replace(/^\$\./, "") : JSON.stringify(value)}`;
  return `${variable} ${name.replace(/(?!^)([A-Z])/g, " $1").toLowerCase()}${value === false ? ": no" : ""}`;
}

/** "Each~2[3]/Note" as its parts. @param {string} place @returns {Part[]} */
function partsOf(place) {
  return place.split("/").map((part) => {
    const [, name, again = "", , item = "-1"] = /^([^~#[]*)(~\d+)?(#\d+)?(?:\[(\d+)\])?/.exec(part);
    return { name, visit: name + again, item: Number(item) };
  });
}

/** The mark of each state that the run has reached, by the state's key: "Both", "Both[0]/Note". @param {Run} run */
export function marksOf(run) {
  const marks = new Map();
  const steps = run.steps.map((step) => ({ parts: partsOf(step.place), wrong: step.error !== "", doing: "", refused: step.result?.approved === false }));
  const stands = run.stands.map(({ place, doing }) => ({ parts: partsOf(place), wrong: false, doing }));
  const state = run.state === "resumed" ? "failed" : run.state;
  markMachine(marks, "", run.definition, steps, stands, state, run.failed_at ? partsOf(run.failed_at)[0].name : "");
  return marks;
}

function put(marks, key, kind, doing = "") {
  const before = marks.get(key);
  const kept = before && heaviest.indexOf(before.kind) > heaviest.indexOf(kind) ? before : { kind, doing };
  marks.set(key, { ...kept, times: (before?.times ?? 0) + 1 });
}

/** @param {Map<string, Mark>} marks @param {string} prefix @param {Machine} machine @param {(Seen & {refused: boolean})[]} steps @param {Seen[]} stands @param {string} state @param {string} failedAt */
function markMachine(marks, prefix, machine, steps, stands, state, failedAt) {
  /** @type {Map<string, {name: string, wrong: boolean}>} */
  const visits = new Map();
  for (const { parts: [{ name, visit }, ...inner], wrong, refused } of steps) {
    const approval = machine.States[name]?.Resource === "driftline:approval";
    visits.set(visit, { name, wrong: inner.length ? false : wrong || (approval && refused) });
  }
  for (const { parts: [{ name, visit }] } of stands) if (!visits.has(visit)) visits.set(visit, { name, wrong: false });
  const trail = [...visits.values()].filter(({ name }) => machine.States[name]);
  const last = trail.at(-1);
  const failed = failedAt || (state === "failed" && last?.wrong ? last.name : "");
  const end = state === "succeeded" ? null : failed && last?.name !== failed ? failed : undefined;
  const kinds = new Map(trail.map(({ name, wrong }) => [name, wrong ? "caught" : "done"]));
  const stops = [...trail, ...(end === undefined ? [] : [{ name: end, wrong: false }])];
  stops.forEach(({ name }, i) => {
    const between = passed(machine, i ? stops[i - 1] : null, name);
    if (between === null && i && machinesWithin(machine.States[stops[i - 1].name]).length) kinds.set(stops[i - 1].name, "caught");
    for (const each of between ?? []) if (!kinds.has(each)) kinds.set(each, "done");
  });
  if (failed) kinds.set(failed, "failed");
  const standing = new Map(stands.filter(({ parts }) => parts.length === 1).map(({ parts, doing }) => [parts[0].name, doing]));
  for (const { parts } of stands) if (!standing.has(parts[0].name)) standing.set(parts[0].name, "at work");
  for (const name of standing.keys()) kinds.set(name, "stands");
  for (const [name, kind] of kinds) {
    put(marks, prefix + name, kind, standing.get(name));
    markWithin(marks, prefix + name, machine.States[name], ofState(steps, name), ofState(stands, name), kind);
  }
}

/** What was seen within a state, of its last visit. @template {Seen} T @param {T[]} seen @param {string} name @returns {T[]} */
function ofState(seen, name) {
  const own = seen.filter(({ parts }) => parts[0].name === name && parts.length > 1);
  return own.filter(({ parts }) => parts[0].visit === own.at(-1).parts[0].visit);
}

function markWithin(marks, key, state, steps, stands, kind) {
  const machines = machinesWithin(state);
  const items = new Set([...steps, ...stands].map(({ parts }) => parts[0].item));
  if (kind === "done") machines.forEach((_, i) => { if (state.Type === "Parallel") items.add(i); });
  const of = (seen, item) => seen.filter(({ parts }) => parts[0].item === item).map((each) => ({ ...each, parts: each.parts.slice(1) }));
  const ended = { done: "succeeded", failed: "failed" }[kind] ?? "running";
  for (const item of items) {
    const branch = state.Type === "Map" ? 0 : item;
    if (machines[branch]) markMachine(marks, `${key}[${branch}]/`, machines[branch], of(steps, item), of(stands, item), ended, "");
  }
}

// Only tasks leave steps. What lies between two of them was passed where every way from the one to the other leads
// through it; null where no way leads there. `to` is null for the end.
/** @param {Machine} machine @param {{name: string, wrong: boolean} | null} from @param {string | null} to @returns {string[] | null} */
function passed(machine, from, to) {
  /** @type {string[][]} */
  const routes = [];
  const follow = (name, route) => {
    if (routes.length >= mostRoutes) return;
    if (name === to) { routes.push(route); return; }
    const state = machine.States[name];
    if (!state || state.Type === "Task" || state.Type === "Fail" || route.includes(name)) return;
    const further = [...route, name];
    if (to === null && isLast(state)) routes.push(further);
    for (const way of waysFrom(state)) follow(way.to, further);
  };
  if (!from) follow(machine.StartAt, []);
  else {
    const state = machine.States[from.name];
    if (to === null && isLast(state)) routes.push([]);
    for (const way of waysFrom(state)) if (from.wrong === (way.kind === "catch")) follow(way.to, []);
  }
  if (!routes.length || routes.length >= mostRoutes) return routes.length ? [] : null;
  return routes[0].filter((name) => routes.every((route) => route.includes(name)));
}

/** @param {State} state */
function isLast(state) {
  return state.End === true || state.Type === "Succeed";
}
