// Asking and telling: a dialog with fields, and a line that says what was done.

import { fill, h, setText } from "./dom.js";

// A field: label, name, and what `h` makes of `tag` (input, select, textarea) with `attributes`; `choices` of a select.
// With `only`, such as { kind: ["mail"] }, it is shown where the other field has one of these values.
/** @param {string} label @param {string} name @param {Record<string, any>} [options] */
export function field(label, name, { tag = "input", hint = "", choices = [], only = null, ...attributes } = {}) {
  const options = choices.map(([value, text]) => h("option", { value, selected: value === attributes.value }, text));
  const control = h(tag, { name, ...attributes }, options);
  if (tag !== "select" && attributes.value !== undefined) control.value = attributes.value;
  return h("label", { class: attributes.type === "checkbox" ? "check" : "", "data-only": only && JSON.stringify(only) }, h("span", {}, label), control, hint ? h("small", { class: "dim" }, hint) : null);
}

// Shows a dialog; `submit(values)` may throw, which is shown there. Resolves once it is closed, true where submitted.
export function ask({ title, text = "", fields = [], confirm = "OK", submit }) {
  return new Promise((resolve) => {
    const wrong = h("p", { role: "alert", class: "bad" });
    const button = h("button", { type: "submit", class: "primary" }, confirm);
    const close = (done) => { dialog.close(); dialog.remove(); resolve(done); };
    const form = h("form", { onsubmit: async (event) => {
      event.preventDefault();
      button.disabled = true;
      setText(wrong, "");
      const values = Object.fromEntries(new FormData(form));
      for (const box of form.querySelectorAll("input[type=checkbox]")) values[box.name] = box.checked;
      try {
        await submit(values);
        close(true);
      } catch (error) {
        setText(wrong, error.message);
        button.disabled = false;
      }
    } }, h("h2", { id: "dialog-title" }, title), text ? h("p", { class: "dim" }, text) : null, fields, wrong,
    h("div", { class: "dialog-buttons" }, h("button", { type: "button", onclick: () => close(false) }, "Cancel"), button));
    const showFitting = () => {
      const given = Object.fromEntries(new FormData(form));
      for (const each of form.querySelectorAll("[data-only]")) {
        each.hidden = Object.entries(JSON.parse(each.dataset.only)).some(([name, values]) => !values.includes(given[name]));
      }
    };
    form.addEventListener("change", showFitting);
    showFitting();
    const dialog = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); close(false); });
    document.body.append(dialog);
    dialog.showModal();
    form.querySelector("input, select, textarea")?.focus();
  });
}

let timer = 0;

// Says for some seconds what was done, to readers of the screen too; `undo` takes it back.
/** @param {string} text @param {string} [kind] @param {(() => Promise<any>) | null} [undo] */
export function tell(text, kind = "ok", undo = null) {
  let line = document.getElementById("told");
  if (!line) {
    line = h("div", { id: "told", role: "status" });
    document.body.append(line);
  }
  line.className = kind;
  fill(line, h("span", {}, text), undo ? h("button", { type: "button", onclick: () => attempt(undo) }, "Undo") : null);
  line.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { line.hidden = true; }, undo ? 20_000 : 6000);
}

// Runs what a button does, and tells what went wrong.
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") tell(error.message, "bad");
    return undefined;
  }
}
