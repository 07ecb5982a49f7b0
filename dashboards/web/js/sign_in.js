// Signing in: name and password, and what was wrong with them.

import { signIn } from "./api.js";
import { fill, h, setText } from "./dom.js";

export function showSignIn({ root, done }) {
  const name = h("input", { name: "name", autocomplete: "username", required: true, maxlength: 128 });
  const password = h("input", { name: "password", type: "password", autocomplete: "current-password", required: true });
  const button = h("button", { type: "submit" }, "Sign in");
  const wrong = h("p", { role: "alert" });
  const form = h("form", { class: "panel sign-in", onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    setText(wrong, "");
    try {
      await signIn(name.value, password.value);
      done();
    } catch (error) {
      setText(wrong, error.message);
      password.select();
    }
    button.disabled = false;
  } }, h("h1", {}, "Sign in to Driftline"), h("label", {}, "Name", name), h("label", {}, "Password", password), wrong, button);
  fill(root, form);
  name.focus();
}
