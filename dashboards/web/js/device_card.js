// What is known of a device beside its readings, and what people do with it: name, labels, retire, merge, delete.

import { get, may, send } from "./api.js";
import { ask, attempt, field, tell } from "./dialog.js";
import { fill, h, prose, setText } from "./dom.js";
import { moment } from "./format.js";

// The line below the device's name, and its buttons. `refresh` is called after each change.
export function deviceCard(refresh) {
  const facts = h("span", { class: "dim" });
  const troubles = h("span", { class: "bad", role: "status" });
  const buttons = h("span", { class: "acts" });
  const element = h("div", { class: "bar device-card" }, facts, troubles, h("span", { class: "grow" }), buttons);

  let said = "";
  function draw(device) {
    const labels = Object.entries(device.labels).map(([name, value]) => `${name}: ${value}`);
    const known = [
      device.name === device.device ? "" : device.device,
      ...labels,
      device.muted_at ? `muted since ${moment(device.muted_at)}` : "",
      device.first_seen ? `first seen ${moment(device.first_seen)}` : "",
    ];
    setText(facts, known.filter(Boolean).join(" · "));
    const trouble = [device.clock, device.refusal].filter(Boolean).join(" · ");
    // Said once only, since it is read out.
    if (trouble !== said) fill(troubles, prose(trouble));
    said = trouble;
    const retired = device.life === "retired";
    const acts = [
      ["operator", "Rename", () => rename(device, refresh)],
      ["operator", "Labels", () => label(device, refresh)],
      ["operator", retired ? "Put in service" : "Retire", () => (retired ? restore(device, refresh) : retire(device, refresh))],
      ["operator", device.muted_at ? "Unmute" : "Mute", () => mute(device, refresh)],
      ["admin", "Replaces …", () => merge(device)],
      ["admin", "Delete", () => remove(device)],
    ];
    fill(buttons, acts.filter(([role]) => may(role)).map(([, word, run]) => h("button", { type: "button", onclick: () => attempt(run) }, word)));
  }

  return { element, draw };
}

async function change(device, action, more = {}) {
  return send("POST", "devices/actions", { action, devices: [device.device], ...more });
}

async function rename(device, refresh) {
  const shown = device.name === device.device ? "" : device.name;
  const done = await ask({
    title: "Rename the device", confirm: "Rename", text: `It is shown under this name. Its identity stays ${device.device}.`,
    fields: [field("Name", "name", { value: shown, maxlength: 200, hint: "Empty: its identity." })],
    submit: ({ name }) => change(device, "rename", { name: name.trim() }),
  });
  if (done) await refresh();
}

async function label(device, refresh) {
  const text = Object.entries(device.labels).map(([name, value]) => `${name} = ${value}`).join("\n");
  const done = await ask({
    title: "Labels", confirm: "Save",
    fields: [field("One label a line, such as site = north", "labels", { tag: "textarea", rows: 5, value: text })],
    submit: async ({ labels }) => {
      const wanted = {};
      for (const line of labels.split("\n").map((each) => each.trim()).filter(Boolean)) {
        const [name, ...value] = line.split("=");
        if (!value.join("=").trim()) throw new Error(`"${line}": expected a name, = and a value`);
        wanted[name.trim()] = value.join("=").trim();
      }
      for (const name of Object.keys(device.labels)) wanted[name] ??= null;
      if (Object.keys(wanted).length) await change(device, "label", { labels: wanted });
    },
  });
  if (done) await refresh();
}

async function retire(device, refresh) {
  const done = await ask({
    title: "Retire the device", confirm: "Retire", text: "It leaves the list and raises no alarm. What it sends is still stored. It can be put in service again.",
    submit: () => change(device, "retire"),
  });
  if (done) await refresh();
}

async function restore(device, refresh) {
  await change(device, "restore");
  tell("in service again");
  await refresh();
}

async function mute(device, refresh) {
  const reply = await change(device, device.muted_at ? "unmute" : "mute");
  tell(reply.done[0].waits ? reply.done[0].text : device.muted_at ? "alarms are told of again" : "muted: alarms are recorded, and nobody is told");
  await refresh();
}

async function merge(device) {
  const { devices } = await get("devices", { retired: true });
  const others = devices.filter((each) => each.device !== device.device).map((each) => [each.device, each.name === each.device ? each.device : `${each.name} (${each.device})`]);
  if (!others.length) throw new Error("There is no other device.");
  let into = "";
  const done = await ask({
    title: "Which device does it replace?", confirm: "Merge",
    text: `What ${device.name} sends, and has sent, becomes the readings of that device, which keeps its history and what was learned. It cannot be undone.`,
    fields: [field("Replaces", "into", { tag: "select", choices: others, value: others[0][0] })],
    submit: async (values) => { into = values.into; tellKept(await change(device, "merge", { into })); },
  });
  if (done) location.hash = `#/device/${encodeURIComponent(into)}`;
}

// What of the device stays as it was in the archive and in external databases.
function tellKept(reply) {
  if (reply.kept) tell(reply.kept);
}

async function remove(device) {
  const done = await ask({
    title: "Delete the device", confirm: "Delete", text: "All its points, states and alarms go with it. It cannot be undone.",
    fields: [field(`To confirm, write ${device.device}`, "typed", { required: true, autocomplete: "off" })],
    submit: async ({ typed }) => {
      if (typed !== device.device) throw new Error("That is not its name.");
      tellKept(await change(device, "delete"));
    },
  });
  if (done) location.hash = "#/";
}
