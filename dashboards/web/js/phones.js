// A phone as a sensor: the QR code that one opens.

import { send } from "./api.js";
import { attempt } from "./dialog.js";
import { fill, h } from "./dom.js";

// What the tab shows: a button that makes an address for one phone.
export function drawPhones(content) {
  const code = h("div", { class: "stack" });
  const make = () => attempt(async () => {
    const { device, url, image, hint } = await send("POST", "phones");
    fill(code,
      hint ? h("p", { class: "bad", role: "status" }, hint) : null,
      h("p", {}, "Scan it with the phone, and press Start there. It appears in the fleet as ", h("a", { href: `#/device/${encodeURIComponent(device)}` }, device), "."),
      h("img", { src: image, alt: `QR code of the address of ${device}`, width: 300, height: 300 }),
      h("p", { class: "dim" }, "Or open ", h("a", { href: url, target: "_blank", rel: "noopener" }, "this address"), ". Whoever has it may send readings for a day, and see nothing."));
  });
  fill(content, h("section", { class: "panel pad" },
    h("h2", {}, "A phone as a sensor"),
    h("p", {}, "A phone sends its motion, orientation, sound level and battery, up to 50 times a second, under an anonymous name. Nothing is installed on it. After it has lain still for a while, shaking it is an anomaly."),
    h("p", { class: "acts" }, h("button", { type: "button", class: "primary", onclick: make }, "Make a code for a phone")), code));
}
