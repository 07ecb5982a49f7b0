// A workflow's definition as a picture: states as boxes in layers from StartAt, with an arrow for each way on.

import { h } from "./dom.js";
import { machinesWithin, waysFrom } from "./workflow_marks.js";

/**
 * @typedef {import("./workflow_marks.js").Machine} Machine
 * @typedef {import("./workflow_marks.js").State} State
 * @typedef {import("./workflow_marks.js").Mark} Mark
 *
 * @typedef {object} Box A state, or where an arrow passes a layer, which has no state.
 * @property {string} name
 * @property {State | null} state
 * @property {number} width
 * @property {number} height
 * @property {Layout[]} within
 * @property {number} layer
 * @property {number} x
 * @property {number} y
 *
 * @typedef {{stops: Box[], kind: string, label: string}} Arrow
 * @typedef {{boxes: Box[], arrows: Arrow[], width: number, height: number}} Layout
 */

const space = { between: 22, layers: 56, around: 14, title: 44 };
const [least, most] = [138, 240];
const beside = 14;
const signRoom = 26;
const fonts = { name: "600 12.5px", kind: "11.5px", label: "11px" };
const longestLabel = 170;
const lane = 16;
const detour = 12;
const signs = { done: "✓", caught: "!", failed: "✕", stands: "●" };
const words = { done: "done", caught: "failed, and caught", failed: "failed", stands: "" };

/** @param {string} tag @param {Record<string, any>} attributes @param {...any} children */
function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

const pen = document.createElement("canvas").getContext("2d");

/** How wide a text is, in pixels. @param {string} text @param {keyof fonts} kind */
function widthOf(text, kind) {
  pen.font = `${fonts[kind]} ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

/** The text, as much of it as fits. @param {string} text @param {keyof fonts} kind @param {number} room */
function shortened(text, kind, room) {
  if (widthOf(text, kind) <= room) return text;
  let end = text.length - 1;
  while (end > 1 && widthOf(`${text.slice(0, end)}…`, kind) > room) end -= 1;
  return `${text.slice(0, end)}…`;
}

/** The picture, in a box that scrolls. @param {string} name @param {Machine} machine @param {Map<string, Mark>} marks */
export function picture(name, machine, marks) {
  const layout = laidOut(machine);
  const width = layout.width + 2 * space.around;
  const height = layout.height + 2 * space.around + 22;
  const arrowhead = svg("marker", { id: "flow-head", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { d: "M0 0L8 4L0 8z" }));
  const first = layout.boxes.find((box) => box.name === machine.StartAt);
  const start = [svg("circle", { class: "start", cx: middle(first), cy: -17, r: 5 }), svg("path", { class: "way", d: `M${middle(first)} -12V0`, "marker-end": "url(#flow-head)" })];
  const drawing = svg("svg", { class: "flow", role: "img", "aria-label": told(name, machine, marks), width, height, viewBox: `0 0 ${width} ${height}` },
    svg("defs", {}, arrowhead), svg("g", { transform: `translate(${space.around} ${space.around + 22})` }, start, drawn(layout, "", marks)));
  return h("div", { class: "scroll flow-box", tabindex: "0", role: "group", "aria-label": `The states of ${name}` }, drawing);
}

/** The picture for who does not see it. @param {string} name @param {Machine} machine @param {Map<string, Mark>} marks */
function told(name, machine, marks) {
  const said = [...marks].map(([key, mark]) => `${key} ${words[mark.kind] || mark.doing}`);
  return `${name}: ${Object.keys(machine.States).join(", ")}${said.length ? `. ${said.join("; ")}` : ""}`;
}

/** @param {Box} box */
function middle(box) {
  return box.x + box.width / 2;
}

/** @param {Machine} machine @returns {Layout} */
function laidOut(machine) {
  const { layers, back } = layersOf(machine);
  /** @type {Map<string, Box>} */
  const boxes = new Map([...layers].map(([name, layer]) => [name, boxOf(name, machine.States[name], layer)]));
  /** @type {Box[][]} */
  const rows = [];
  for (const box of boxes.values()) (rows[box.layer] ??= []).push(box);
  const arrows = [...boxes.values()].flatMap((box) => arrowsFrom(box, boxes, rows, back));
  ordered(rows, arrows);
  const loops = arrows.filter((arrow) => arrow.stops.length === 2 && arrow.stops[1].layer <= arrow.stops[0].layer).length;
  return { boxes: rows.flat(), arrows, ...placed(rows, loops) };
}

// The layer of each state is the longest way to it from StartAt, circles left out: `back` has the arrows that close them.
/** @param {Machine} machine */
function layersOf(machine) {
  const back = new Set();
  const under = new Set();
  /** @type {string[]} */
  const done = [];
  const visit = (name) => {
    under.add(name);
    for (const { to } of waysFrom(machine.States[name])) {
      if (under.has(to)) back.add(`${name}\n${to}`);
      else if (machine.States[to] && !done.includes(to)) visit(to);
    }
    under.delete(name);
    done.push(name);
  };
  for (const name of [machine.StartAt, ...Object.keys(machine.States)]) if (machine.States[name] && !done.includes(name)) visit(name);
  const layers = new Map(done.reverse().map((name) => [name, 0]));
  for (const name of done) {
    for (const { to } of waysFrom(machine.States[name])) {
      if (layers.has(to) && !back.has(`${name}\n${to}`)) layers.set(to, Math.max(layers.get(to), layers.get(name) + 1));
    }
  }
  return { layers, back };
}

/** @param {string} name @param {State | null} state @param {number} layer @returns {Box} */
function boxOf(name, state, layer) {
  if (!state) return { name, state, width: 10, height: 0, within: [], layer, x: 0, y: 0 };
  const within = machinesWithin(state).map(laidOut);
  const own = Math.max(widthOf(name, "name") + signRoom, widthOf(kindOf(state), "kind"), widthOf(longestDoing(state), "kind")) + 2 * beside;
  const inner = within.reduce((sum, each) => sum + each.width + space.around, space.around);
  const height = space.title + (within.length ? Math.max(...within.map((each) => each.height)) + 2 * space.around : 0);
  return { name, state, width: Math.max(least, Math.min(most, own), within.length ? inner : 0), height, within, layer, x: 0, y: 0 };
}

/** The longest that is said of where a run stands. @param {State} state */
function longestDoing(state) {
  return state.Resource === "driftline:approval" ? "waiting for approval" : "waiting";
}

/** What a state is, in a few words. @param {State} state */
function kindOf(state) {
  const does = state.Type === "Task" ? state.Resource.replace(/^driftline:/, "").replace(/^function:/, "calls ") : state.Type;
  const wait = state.Type === "Wait" ? ` ${state.Seconds !== undefined ? `${state.Seconds} s` : state.Timestamp ?? ""}` : "";
  return `${does}${wait}${state.End ? " · end" : ""}`;
}

/** @param {Box} box @param {Map<string, Box>} boxes @param {Box[][]} rows @param {Set<string>} back @returns {Arrow[]} */
function arrowsFrom(box, boxes, rows, back) {
  /** @type {Map<string, import("./workflow_marks.js").Way[]>} */
  const ways = new Map();
  for (const way of waysFrom(box.state)) {
    const same = `${way.to}\n${way.kind === "catch"}`;
    if (boxes.has(way.to)) ways.set(same, [...(ways.get(same) ?? []), way]);
  }
  return [...ways.values()].map((same) => {
    const target = boxes.get(same[0].to);
    const passing = [];
    if (!back.has(`${box.name}\n${target.name}`)) {
      for (let layer = box.layer + 1; layer < target.layer; layer += 1) {
        passing.push(boxOf("", null, layer));
        rows[layer].push(passing.at(-1));
      }
    }
    return { stops: [box, ...passing, target], kind: same[0].kind, label: same.map(({ label }) => label).filter(Boolean).join(" or ") };
  });
}

// Each layer in the order of what leads to it, so that few arrows cross.
/** @param {Box[][]} rows @param {Arrow[]} arrows */
function ordered(rows, arrows) {
  /** @type {Map<Box, Box[]>} */
  const before = new Map();
  for (const { stops } of arrows) stops.slice(1).forEach((box, i) => { if (stops[i].layer < box.layer) before.set(box, [...(before.get(box) ?? []), stops[i]]); });
  for (const [i, row] of rows.entries()) {
    if (!i) continue;
    const rank = (box) => {
      const found = (before.get(box) ?? []).map((each) => rows[i - 1].indexOf(each)).filter((n) => n >= 0);
      return found.length ? found.reduce((a, b) => a + b, 0) / found.length : 0;
    };
    const ranks = new Map(row.map((box) => [box, rank(box)]));
    row.sort((a, b) => ranks.get(a) - ranks.get(b));
  }
}

/** Puts every box into its place. @param {Box[][]} rows @param {number} loops */
function placed(rows, loops) {
  const widths = rows.map((row) => row.reduce((sum, box) => sum + box.width + space.between, -space.between));
  const width = Math.max(...widths);
  let y = 0;
  rows.forEach((row, i) => {
    const height = Math.max(...row.map((box) => box.height));
    let x = (width - widths[i]) / 2;
    for (const box of row) {
      box.x = x;
      box.y = y;
      if (!box.state) box.height = height;
      x += box.width + space.between;
    }
    y += height + space.layers;
  });
  return { width: width + loops * lane, height: y - space.layers };
}

/** @param {Layout} layout @param {string} prefix @param {Map<string, Mark>} marks @returns {SVGElement[]} */
function drawn(layout, prefix, marks) {
  let loops = 0;
  const far = Math.max(...layout.boxes.map((box) => box.x + box.width));
  const lines = [];
  const labels = [];
  for (const [i, arrow] of layout.arrows.entries()) {
    const [from, to] = arrow.stops;
    const loop = to.layer <= from.layer;
    if (loop) loops += 1;
    const d = loop ? around(from, to, far + loops * lane - 5, layout.boxes) : down(arrow.stops);
    lines.push(svg("path", { class: `way ${arrow.kind}`, d, "marker-end": "url(#flow-head)" }));
    if (!arrow.label) continue;
    const share = i % 2 ? 0.34 : 0.66;
    const [x, y] = loop ? [far, from.y - 6] : [middle(from) + (middle(to) - middle(from)) * share, from.y + from.height + (to.y - from.y - from.height) * share + 4];
    const text = shortened(arrow.label, "label", longestLabel);
    const wide = widthOf(text, "label") + 8;
    labels.push(svg("rect", { class: "behind", x: loop ? x - wide + 4 : x - wide / 2, y: y - 11, width: wide, height: 15 }),
      svg("text", { class: `label ${arrow.kind}`, x, y, "text-anchor": loop ? "end" : "middle" }, svg("title", {}, arrow.label), text));
  }
  return [...lines, ...layout.boxes.filter((box) => box.state).map((box) => drawnBox(box, prefix, marks)), ...labels];
}

/** @param {Box[]} stops */
function down(stops) {
  let d = `M${middle(stops[0])} ${stops[0].y + stops[0].height}`;
  stops.slice(1).forEach((box, i) => {
    const half = (stops[i].y + stops[i].height + box.y) / 2;
    d += `C${middle(stops[i])} ${half} ${middle(box)} ${half} ${middle(box)} ${box.y}`;
    if (!box.state) d += `V${box.y + box.height}`;
  });
  return d;
}

/** Back to a state above, past what stands beside either. @param {Box} from @param {Box} to @param {number} x @param {Box[]} boxes */
function around(from, to, x, boxes) {
  const same = from === to ? 8 : 0;
  const isBeside = (box) => boxes.some((each) => each.state && each.layer === box.layer && each.x > box.x);
  const below = Math.max(...boxes.filter((each) => each.layer === from.layer).map((each) => each.y + each.height)) + detour;
  const start = isBeside(from) ? `M${from.x + from.width - detour} ${from.y + from.height}V${below}` : `M${from.x + from.width} ${from.y + 22 + same}`;
  const end = isBeside(to) ? `V${to.y - detour}H${to.x + to.width - detour}V${to.y}` : `V${to.y + 22 - same}H${to.x + to.width}`;
  return `${start}H${x}${end}`;
}

/** @param {Box} box @param {string} prefix @param {Map<string, Mark>} marks @returns {SVGElement} */
function drawnBox(box, prefix, marks) {
  const key = prefix + box.name;
  const mark = marks.get(key);
  const sign = mark ? `${signs[mark.kind]}${mark.times > 1 ? ` ${mark.times}` : ""} ` : "";
  const said = mark?.kind === "stands" ? mark.doing : kindOf(box.state);
  const room = box.width - 2 * beside;
  let x = box.x + space.around;
  const within = box.within.map((each, i) => {
    const group = svg("g", { transform: `translate(${x} ${box.y + space.title + space.around})` }, drawn(each, `${key}[${i}]/`, marks));
    x += each.width + space.around;
    return group;
  });
  return svg("g", { class: `state ${mark?.kind ?? ""}`, "data-state": key, "data-mark": mark?.kind ?? "" },
    svg("title", {}, `${box.name}: ${kindOf(box.state)}${box.state.Comment ? `. ${box.state.Comment}` : ""}`),
    svg("rect", { x: box.x, y: box.y, width: box.width, height: box.height, rx: box.state.Type === "Choice" ? 20 : 8 }),
    svg("text", { class: "name", x: middle(box), y: box.y + 19, "text-anchor": "middle" }, sign + shortened(box.name, "name", room - (sign ? signRoom : 0))),
    svg("text", { class: "kind", x: middle(box), y: box.y + 35, "text-anchor": "middle" }, shortened(said, "kind", room)), within);
}
