// What the words on this page mean, and the keys.

import { get } from "./api.js";
import { fill, h } from "./dom.js";

const words = [
  ["Score", "How rare a reading is, judged by this series' own past: 3 means about one reading in a thousand is as odd, 6 about one in a million. Until enough has been seen, there is no score: the series warms up."],
  ["Budget", "How many false alarms you are willing to see, such as one per sensor per week. It sets the score that raises an alarm. A smaller budget makes alarms rarer and later."],
  ["Expected band", "Where the next reading was expected before it came. A reading outside is not yet an alarm: the score decides."],
  ["Anomaly", "A reading whose score reaches the threshold, or that is still as far off while an alarm is open: the red dots."],
  ["Alarm", "Begins with an anomaly, and ends when the series has been back for a while, or what it found is taken as normal. What recurs sooner belongs to the same alarm."],
  ["Unusual", "The newest readings hold an anomaly, or the last alarm began within ten minutes of the last reading. No alarm is open now."],
  ["Incident", "Alarms that belong together: of one device, or of one site within two minutes. The device that began it stands first."],
  ["Acknowledge", "Say that you have taken an alarm on. It stays open, and the next person to call is not called."],
  ["Shelve", "Put an alarm aside for a time. It is recorded, but shown among the shelved ones, and notifies nobody."],
  ["Silent, quiet", "Silent: nothing has come for longer than it ever takes, and an alarm says so. Quiet: nothing for far longer than it took so far, but too little is known of how often it sends to raise an alarm."],
  ["Refused", "None of the device's messages can be read. Its page gives the reason, and the messages are among the dead letters."],
  ["Dropped", "What holds no number to store: ignored as configured, state (told in words, and kept as the device's state), cleared (an empty retained message), and the like. Nothing is lost by it."],
  ["Dead letter", "A message that could not be read, kept with the reason. Nothing is dropped in silence."],
];
const keys = [
  ["/", "filter"], ["↑ ↓ or j k", "move through rows"], ["Space", "select an alarm"], ["Enter", "open"],
  ["a s c x f u", "acknowledge, shelve, comment, clear, right or wrong, take the answer back"], ["← →", "earlier, later on a device's charts"], ["+ −", "zoom"], ["0", "back to live"], ["?", "this page"],
];

export async function showHelp({ root, signal }) {
  const about = await get("about", {}, signal);
  fill(root,
    h("h1", {}, "Help"),
    h("div", { class: "two" },
      h("section", { class: "panel" }, h("h2", {}, "What the words mean"), h("dl", { class: "words" }, words.map(([word, meaning]) => [h("dt", {}, word), h("dd", {}, meaning)]).flat())),
      h("div", { class: "stack" },
        h("section", { class: "panel" }, h("h2", {}, "Keys"), h("table", {}, h("tbody", {}, keys.map(([key, meaning]) => h("tr", {}, h("td", {}, h("kbd", {}, key)), h("td", {}, meaning)))))),
        h("section", { class: "panel" }, h("h2", {}, "This service"), h("table", {}, h("tbody", {},
          [["Version", about.version], ["Devices publish to", about.broker], ["Topics listened to", about.filters.join("  ")], ["Configuration", about.config_file ?? "the defaults"]].map(([name, value]) => h("tr", {}, h("td", {}, name), h("td", { class: "mono" }, value)))))),
        h("p", {}, h("a", { href: "#/api" }, h("u", {}, "API reference")), ", ", h("a", { href: "#/simulator" }, h("u", {}, "simulator and score card"))))));
}
