// What people do about alarms, the same from the list and from a device's page.

import { may, send } from "./api.js";
import { ask, attempt, field, tell } from "./dialog.js";
import { h } from "./dom.js";
import { count, moment } from "./format.js";

export const verdicts = [
  ["right", "Right: this was worth an alarm"],
  ["wrong", "Wrong: nothing was the matter"],
  ["expected", "Expected from now on: this is the new normal"],
  ["do_not_learn", "Do not learn from this stretch"],
];

const hour = 3600;
const spans = [[hour, "1 hour"], [8 * hour, "8 hours"], [24 * hour, "1 day"], [7 * 24 * hour, "1 week"]];

// Who was told of an alarm, and who will be: "told shift 12:00; calls on-call at 12:05 unless someone acknowledges".
export function toldOf(alarm) {
  const words = (alarm.told ?? []).map(({ channel, state, time, error }) => {
    if (state === "sent") return `${channel} told ${moment(time)}`;
    if (state === "digested") return `${channel} told with others`;
    if (state === "waiting" && error) return `${channel} not reached yet: ${error}`;
    if (state === "waiting" && time > Date.now() * 1e6) return `${channel} is called ${moment(time)} unless someone acknowledges`;
    return state === "waiting" ? `${channel} is being told` : state === "given up" ? `${channel} was not reached` : "";
  }).filter(Boolean);
  return words.length ? h("span", { class: "sub told" }, words.join("; ")) : null;
}

export function mayAct() {
  return may("operator");
}

async function act(alarms, action, details = {}) {
  const { alarms: changed } = await send("POST", "alarms/actions", { alarms: alarms.map((alarm) => alarm.alarm), action, ...details });
  return changed;
}

const some = (alarms) => (alarms.length === 1 ? `the alarm of ${alarms[0].device}` : `${count(alarms.length)} alarms`);

export function acknowledge(alarms, done) {
  return attempt(async () => {
    await act(alarms, "acknowledge");
    tell(`You have taken on ${some(alarms)}`);
    await done();
  });
}

export function shelve(alarms, done) {
  return attempt(() => ask({
    title: `Shelve ${some(alarms)}`, confirm: "Shelve",
    text: "A shelved alarm leaves the list and notifies nobody until then. It stays recorded.",
    fields: [
      field("For how long", "seconds", { tag: "select", choices: spans.map(([seconds, text]) => [String(seconds), text]), value: String(8 * hour) }),
      field("Why (optional)", "note", { maxlength: 500 }),
    ],
    submit: async ({ seconds, note }) => {
      await act(alarms, "shelve", { seconds: Number(seconds), note });
      tell(`Shelved ${some(alarms)}`);
      await done();
    },
  }));
}

export function unshelve(alarms, done) {
  return attempt(async () => {
    await act(alarms, "unshelve");
    tell(`Back in the list: ${some(alarms)}`);
    await done();
  });
}

export function comment(alarms, done) {
  return attempt(() => ask({
    title: `Comment on ${some(alarms)}`, confirm: "Save",
    fields: [field("Comment", "note", { tag: "textarea", rows: 4, required: true, maxlength: 2000 })],
    submit: async ({ note }) => {
      await act(alarms, "comment", { note });
      tell("Comment saved");
      await done();
    },
  }));
}

export function clearByHand(alarms, done) {
  return attempt(() => ask({
    title: `Clear ${some(alarms)} by hand`, confirm: "Clear",
    text: "The alarm ends now. No other opens before the series has been back to normal once; to keep it quiet for longer, shelve it.",
    fields: [field("Why (optional)", "note", { maxlength: 500 })],
    submit: async ({ note }) => {
      await act(alarms, "clear", { note });
      tell(`Cleared ${some(alarms)}`);
      await done();
    },
  }));
}

// What an answer changed: its outcome, and what it would have changed of the last month, in one line a series.
function outcome(reply) {
  const said = reply.effects.length ? reply.effects : [];
  const lines = reply.done.filter((each) => !each.refused).map((each) => {
    const effect = said.find((one) => one.alarm === each.alarm);
    return `${each.text}${effect ? `. ${effect.device} ${effect.metric}: ${effect.sentence}` : ""}`;
  });
  const refused = reply.done.filter((each) => each.refused);
  return [lines.length > 1 ? `${count(lines.length)} answers kept. ${lines[0]}` : lines[0], refused[0]?.refused].filter(Boolean).join(". ");
}

export function undoFeedback(alarms, done) {
  return attempt(async () => {
    const judged = alarms.filter((alarm) => alarm.feedback);
    if (!judged.length) { tell("Nobody has said anything of this that could be taken back"); return; }
    const reply = await send("POST", "alarms/actions", { alarms: judged.map((alarm) => alarm.alarm), action: "undo_feedback" });
    tell(`Taken back: ${outcome(reply)}`);
    await done();
  });
}

export function feedback(alarms, done) {
  return attempt(() => ask({
    title: `Was ${some(alarms)} right?`, confirm: "Save",
    text: "Right: no answer makes this series deaf to it. Wrong: the series' threshold is raised just above it. Expected: what it shows now becomes normal. Each can be taken back.",
    fields: [
      field("Your answer", "verdict", { tag: "select", choices: verdicts, value: "right" }),
      field("Note (optional)", "note", { maxlength: 500 }),
    ],
    submit: async ({ verdict, note }) => {
      if (verdict === "do_not_learn") {
        await act(alarms, "do_not_learn", { note });
        tell("What comes from this stretch is not taken for normal");
      } else {
        const reply = await send("POST", "alarms/actions", { alarms: alarms.map((alarm) => alarm.alarm), action: "feedback", verdict, note });
        tell(`Marked ${outcome(reply)}`, "ok", () => undoFeedback(reply.alarms, done));
      }
      await done();
    },
  }));
}

// Key, word, what it does; in the order of buttons.
/** @typedef {[string, string, (alarms: any, done: any) => Promise<any>]} Act */
/** @type {Act[]} */
export const actions = [
  ["a", "Acknowledge", acknowledge],
  ["s", "Shelve", shelve],
  ["c", "Comment", comment],
  ["x", "Clear", clearByHand],
  ["f", "Right or wrong?", feedback],
  ["u", "Take answer back", undoFeedback],
];

/** Those of them that make sense for one alarm as it stands. @returns {Act[]} */
export function actionsFor(alarm) {
  const isActive = alarm.state !== "cleared";
  const fits = { a: alarm.state === "open", s: isActive, c: true, x: isActive, f: true, u: Boolean(alarm.feedback) };
  const isShelved = alarm.shelved_until > Date.now() * 1e6;
  return actions.filter(([key]) => fits[key]).map((each) => (each[0] === "s" && isShelved ? ["s", "Unshelve", unshelve] : each));
}
