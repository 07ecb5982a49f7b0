// The configuration file in an editor: checked while typing, applied after a look at the difference.

import { get, send } from "./api.js";
import { ask, attempt, tell } from "./dialog.js";
import { fill, h, setText } from "./dom.js";
import { count } from "./format.js";

const fewest = 12;
const pause = 400;

export async function configEditor(signal) {
  let file = await get("config/file", {}, signal);
  const area = h("textarea", { class: "mono", id: "config-text", rows: Math.max(fewest, Math.min(34, file.text.split("\n").length + 2)), spellcheck: "false", autocapitalize: "off", wrap: "off", "aria-describedby": "config-said", oninput: () => typed() });
  const said = h("div", { id: "config-said", role: "status" });
  const apply = h("button", { type: "button", class: "primary", disabled: true, onclick: () => put() }, "Show the change and apply");
  const back = h("button", { type: "button", disabled: true, onclick: () => { area.value = file.text; typed(); } }, "Undo all");
  area.value = file.text;
  const element = h("section", { class: "panel tuning" },
    h("label", { for: "config-text" }, file.file), area, said,
    h("div", { class: "bar" }, apply, back, h("span", { class: "grow" }), h("span", { class: "dim" }, "Secrets do not belong here: they come from the environment or from files.")));

  // What the service says of the text: what is wrong, what is hardly meant, what waits for the next start.
  function tellOf(reply) {
    const lines = (texts, name) => (texts.length ? h("ul", { class: `plain-list ${name}` }, texts.map((text) => h("li", {}, text))) : null);
    const later = reply.next_start?.length ? [`takes effect at the next start: ${reply.next_start.join(", ")}`] : [];
    fill(said, lines(reply.errors, "bad"), lines([...(reply.warnings ?? []), ...later], "warn"),
      reply.errors.length ? null : h("p", { class: "dim" }, reply.difference ? `Valid. ${count(changedLines(reply.difference))} lines differ from the file.` : "Valid; the same as the file."));
  }

  const changedLines = (difference) => difference.split("\n").slice(2).filter((line) => /^[+-]/.test(line)).length;
  const check = (write) => send("POST", "config/file", { text: area.value, version: file.version, write });

  let timer = 0;
  let asked = 0;
  function typed() {
    back.disabled = area.value === file.text;
    apply.disabled = true;
    clearTimeout(timer);
    timer = setTimeout(() => attempt(async () => {
      const mine = (asked += 1);
      const reply = await check(false);
      if (mine !== asked) return;
      tellOf(reply);
      apply.disabled = reply.errors.length > 0 || !reply.difference;
    }), pause);
  }

  function put() {
    return attempt(async () => {
      const { difference, next_start: later } = await check(false);
      await ask({
        title: "Apply this change?", confirm: "Write and apply",
        text: `${file.file} is changed, and takes effect within a second${later.length ? `, but for ${later.join(", ")}: at the next start` : ""}. What was learned stays.`,
        fields: [h("pre", { class: "mono diff", tabindex: "0" }, difference)],
        submit: async () => {
          const reply = await check(true);
          file = { ...file, text: area.value, version: reply.version };
          typed();
          tell(later.length ? `Written; at the next start: ${later.join(", ")}` : "Written, and in force within a second");
        },
      });
    });
  }

  if (file.errors.length) tellOf({ ...file, difference: "" });
  else setText(said, "");
  return element;
}
