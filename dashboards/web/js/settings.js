// Settings: who is told of alarms, who may sign in, what was done, and the configuration in force.

import { get, may, me, send } from "./api.js";
import { ask, attempt, field, tell } from "./dialog.js";
import { asCards, buttonGroup, fill, h, keepInAddress } from "./dom.js";
import { configEditor } from "./config_editor.js";
import { ago, moment } from "./format.js";
import { drawPhones } from "./phones.js";

const roles = [["viewer", "viewer: sees everything"], ["operator", "operator: acts on alarms too"], ["admin", "admin: changes settings too"]];

// No other number is so large: nanoseconds of the year 2001.
const firstInstant = 1e18;

export async function showSettings({ root, search, signal }) {
  const tabs = [["notices", "Notices"], ...(may("operator") ? [["phones", "Phones"]] : []), ...(may("admin") ? [["people", "People"], ["audit", "Audit log"]] : []), ["configuration", "Configuration"]];
  let tab = search.get("tab") ?? "notices";
  const choice = buttonGroup("Settings", tabs, tab, (value) => {
    tab = value;
    choice.choose(value);
    keepInAddress("#/settings", { tab });
    draw().catch((error) => tell(error.message, "bad"));
  });
  const content = h("div", { class: "stack" });
  fill(root, h("div", { class: "crumbs" }, h("h1", {}, "Settings"), choice), content);

  async function draw() {
    const views = { notices: drawNotices, phones: () => drawPhones(content), people: drawPeople, audit: drawAudit, configuration: drawConfiguration };
    await (views[tab] ?? drawNotices)();
  }

  async function drawNotices() {
    if (!may("operator")) { fill(content, h("div", { class: "panel empty" }, h("b", {}, "For operators"), "Ask an admin for the role.")); return; }
    const [{ channels }, { notices }] = await Promise.all([get("notices/channels", {}, signal), get("notices", { limit: 50 }, signal)]);
    channels.sort((a, b) => seconds(a.settings.after) - seconds(b.settings.after));
    const test = (name) => attempt(async () => { await send("POST", `notices/channels/${encodeURIComponent(name)}/test`); tell(`“${name}” took the test message`); await draw(); });
    const remove = (name) => attempt(() => ask({ title: `Remove the channel “${name}”?`, text: "What still waits for it is given up.", confirm: "Remove", submit: async () => { await send("DELETE", `notices/channels/${encodeURIComponent(name)}`); await draw(); } }));
    fill(content,
      h("div", { class: "bar" }, h("span", { class: "dim grow" }, "Channels are told of alarms by mail, webhook, MQTT, or any service that Apprise knows."),
        may("admin") ? h("button", { type: "button", class: "primary", onclick: () => newChannel({}, draw) }, "Add a channel") : null),
      h("section", { class: "panel scroll" }, channels.length ? h("table", {},
        h("thead", {}, h("tr", {}, ["Channel", "Goes to", "Told of", "State", "Actions"].map((title) => h("th", { scope: "col" }, title)))),
        h("tbody", {}, channels.map(({ settings, waiting, error, made_on_page }) => h("tr", {},
          h("td", {}, h("b", {}, settings.name), h("span", { class: "sub" }, made_on_page ? settings.kind : `${settings.kind}, from the configuration file`)),
          h("td", { class: "wide" }, settings.kind === "mail" ? settings.to.join(", ") : settings.kind === "mqtt" ? settings.topic : settings.url || "its secret address", settings.kind === "mail" ? h("span", { class: "sub" }, settings.url) : null),
          h("td", {}, `${settings.min_severity} and worse`, seconds(settings.after) ? h("span", { class: "sub" }, `if nobody acknowledges within ${settings.after}`) : null, h("span", { class: "sub" }, settings.devices.includes("*") ? "all devices" : settings.devices.join(", ")), settings.hours.length ? h("span", { class: "sub" }, settings.hours.join(", ")) : null),
          h("td", {}, error ? h("span", { class: "chip alarm" }, "away") : h("span", { class: "chip ok" }, "well"), waiting ? h("span", { class: "sub" }, `${waiting} waiting`) : null, error ? h("span", { class: "sub bad" }, error) : null),
          h("td", { class: "right" }, h("button", { type: "button", onclick: () => test(settings.name) }, "Send a test"), " ",
            made_on_page && may("admin") ? h("button", { type: "button", onclick: () => remove(settings.name) }, "Remove") : null)))))
        : h("div", { class: "empty" }, h("b", {}, "Nobody is told of alarms yet"), "Add a channel here, or [[notices]] in driftline.toml.")),
      h("section", { class: "panel scroll" }, h("h2", {}, "Newest notices"), notices.length ? h("table", {}, h("tbody", {}, notices.map((each) => h("tr", {},
        h("td", { class: "still" }, moment(each.created)), h("td", {}, each.channel), h("td", { class: "wide" }, each.subject),
        h("td", {}, h("span", { class: `chip ${each.state === "sent" ? "ok" : each.state === "waiting" ? "warning" : ""}` }, each.state), each.error ? h("span", { class: "sub bad" }, each.error) : null)))))
        : h("p", { class: "pad dim" }, "None yet.")));
    asCards(content);
  }

  async function drawPeople() {
    const [{ users }, { tokens }] = await Promise.all([get("users", {}, signal), get("tokens", {}, signal)]);
    const now = Date.now() * 1e6;
    const change = (method, path, body, word) => attempt(async () => { await send(method, path, body); tell(word); await draw(); });
    const addUser = () => attempt(() => ask({ title: "Add a user", confirm: "Add",
      text: users.length ? "" : "From the first user on everyone has to sign in. The first one has to be an admin.",
      fields: [field("Name", "name", { required: true, maxlength: 64, autocomplete: "off" }), field("Role", "role", { tag: "select", choices: users.length ? roles : roles.slice(2), value: users.length ? "operator" : "admin" }), field("Password, at least 12 characters", "password", { type: "password", required: true, minlength: 12, autocomplete: "new-password" })],
      submit: async (values) => { await send("POST", "users", values); tell(`${values.name} may sign in now`); await draw(); } }));
    const addToken = () => attempt(() => ask({ title: "Make an API token", confirm: "Make",
      fields: [field("Name", "name", { required: true, maxlength: 64 }), field("Role", "role", { tag: "select", choices: [["sender", "sender: sends readings, sees nothing"], ...roles], value: "viewer" }), field("Lasts", "lifetime", { tag: "select", choices: [["30d", "30 days"], ["90d", "90 days"], ["365d", "a year"], ["", "for good"]], value: "90d" })],
      submit: async ({ name, role, lifetime }) => {
        const made = await send("POST", "tokens", { name, role, lifetime: lifetime || null });
        await draw();
        await ask({ title: `The token “${name}”`, text: "Copy it now: it is shown this once.", confirm: "Done", fields: [field("Token", "token", { readonly: true, value: made.token, class: "mono" })], submit: async () => {} });
      } }));
    const password = (name) => attempt(() => ask({ title: `A new password for ${name}`, confirm: "Change", text: "Ends all their sessions.", fields: [field("Password, at least 12 characters", "password", { type: "password", required: true, minlength: 12, autocomplete: "new-password" })], submit: async (values) => { await send("PATCH", `users/${encodeURIComponent(name)}`, values); tell("Password changed"); await draw(); } }));
    fill(content,
      h("section", { class: "panel scroll" }, h("h2", {}, "Users"), users.length ? h("table", {}, h("tbody", {}, users.map((user) => h("tr", {},
        h("td", {}, h("b", {}, user.name), user.name === me?.name ? h("span", { class: "sub" }, "you") : null),
        h("td", {}, h("select", { "aria-label": `Role of ${user.name}`, onchange: (event) => change("PATCH", `users/${encodeURIComponent(user.name)}`, { role: event.target.value }, `${user.name} is ${event.target.value} now`) }, roles.map(([value]) => h("option", { value, selected: value === user.role }, value)))),
        h("td", {}, `since ${moment(user.created)}`),
        h("td", { class: "right" }, h("button", { type: "button", onclick: () => password(user.name) }, "Password"), " ", h("button", { type: "button", onclick: () => change("DELETE", `users/${encodeURIComponent(user.name)}`, undefined, `${user.name} is removed`) }, "Remove"))))))
        : h("p", { class: "pad dim" }, "No users: everyone who reaches this page may do everything. It listens on this machine alone."),
        h("p", { class: "pad" }, h("button", { type: "button", class: "primary", onclick: addUser }, "Add a user"))),
      h("section", { class: "panel scroll" }, h("h2", {}, "API tokens"), tokens.length ? h("table", {}, h("tbody", {}, tokens.map((token) => h("tr", {},
        h("td", {}, h("b", {}, token.name)), h("td", {}, token.role), h("td", {}, token.expires ? `until ${moment(token.expires)}` : "for good"), h("td", {}, `used ${ago(token.used, now)}`),
        h("td", { class: "right" }, h("button", { type: "button", onclick: () => change("DELETE", `tokens/${encodeURIComponent(token.name)}`, undefined, `${token.name} is taken back`) }, "Take back")))))) : h("p", { class: "pad dim" }, "None. Programs need one where people have to sign in."),
        h("p", { class: "pad" }, h("button", { type: "button", class: "primary", onclick: addToken }, "Make a token"))));
  }

  async function drawAudit() {
    const { entries } = await get("audit", { limit: 500 }, signal);
    fill(content, h("section", { class: "panel scroll" }, entries.length ? h("table", {},
      h("thead", {}, h("tr", {}, ["When", "Who", "From", "What", "Detail"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, entries.map((entry) => h("tr", {}, h("td", { class: "still" }, moment(entry.time)), h("td", {}, entry.who), h("td", { class: "mono" }, entry.address), h("td", {}, entry.action), h("td", { class: "wide" }, entry.detail, entry.before || entry.after ? h("span", { class: "sub" }, changeOf(entry.before, entry.after)) : null)))))
      : h("div", { class: "empty" }, h("b", {}, "Nothing was done yet"), "What people change is written down here.")));
    asCards(content);
  }

  async function drawConfiguration() {
    const [configuration, about] = await Promise.all([get("config", {}, signal), get("about", {}, signal)]);
    const editor = may("admin") ? await configEditor(signal) : null;
    fill(content, editor, h("p", { class: "dim" }, about.config_file ? `In force, from ${about.config_file} and the defaults. A change of the file is picked up while running.` : "The defaults are in force: there is no configuration file."),
      Object.entries(configuration).map(([name, value]) => h("details", { class: "panel operation" }, h("summary", {}, h("code", {}, name)), h("pre", { class: "mono", tabindex: "0" }, JSON.stringify(value, null, 2)))));
  }

  await draw();
}

// What was changed, in words: what is written down as JSON by those of its parts that differ, all else as it is.
function changeOf(before, after) {
  const [was, is] = [partsOf(before), partsOf(after)];
  if (!was || !is) return `${before || "nothing"} → ${after || "nothing"}`;
  const changed = [...new Set([...was.keys(), ...is.keys()])].filter((key) => was.get(key) !== is.get(key));
  return changed.map((key) => `${key}: ${was.get(key) ?? "–"} → ${is.get(key) ?? "–"}`).join("; ");
}

// The parts of an object, or of each of several, by name; null where the text is none.
function partsOf(text) {
  let found = [];
  try { found = [JSON.parse(text || "[]")].flat(); } catch { return null; }
  if (found.some((each) => each === null || typeof each !== "object")) return null;
  const value = (each) => (typeof each === "string" ? each : each > firstInstant ? moment(each) : JSON.stringify(each));
  return new Map(found.flatMap((each, i) => Object.entries(each).map(([key, of]) => [`${found.length > 1 ? `${each.alarm ?? each.device ?? i + 1} ` : ""}${key.replaceAll("_", " ")}`, value(of)])));
}

// A duration of the configuration, such as "5m", as seconds.
function seconds(text) {
  const [, count, unit] = /^([\d.]+)\s*([a-z]+)$/.exec(text) ?? [];
  return Number(count ?? 0) * ({ ms: 0.001, s: 1, m: 60, min: 60, h: 3600, d: 86400, w: 604800 }[unit] ?? 1);
}

// Makes a channel; `given` fills in what is known already, such as the devices.
export function newChannel(given, done) {
  return attempt(() => ask({
    title: given.title ?? "Add a channel", confirm: "Save and send a test",
    text: given.text ?? "",
    fields: [
      field("Name", "name", { required: true, pattern: "[A-Za-z0-9_\\-]{1,40}", value: given.name ?? "mail", hint: "Letters, digits, - and _" }),
      field("Kind", "kind", { tag: "select", choices: [["mail", "Mail"], ["webhook", "Webhook (HTTP POST, signed)"], ["mqtt", "MQTT message"], ["apprise", "Slack, Teams, Telegram, ntfy, ... (Apprise)"]], value: "mail" }),
      field("Mail goes to", "to", { only: { kind: ["mail"] }, placeholder: "you@plant.example", value: given.to ?? "", hint: "Several with commas" }),
      field("Mail server, or the webhook's address", "url", { only: { kind: ["mail", "webhook"] }, placeholder: "smtp://mail.example:25", value: given.url ?? "", hint: "Mail: smtp://, smtp+starttls:// or smtps:// and the server. Webhook: an https address." }),
      field("User name at the mail server (optional)", "username", { only: { kind: ["mail"] }, autocomplete: "off" }),
      field("Secret", "secret", { only: { kind: ["mail", "webhook", "apprise"] }, type: "password", autocomplete: "new-password", hint: "The mail server's password, the webhook's signing key, or Apprise's address (slack://...)." }),
      field("Devices", "devices", { value: given.devices ?? "*", hint: "* stands for any characters; several with commas" }),
      field("Only alarms at least", "min_severity", { tag: "select", choices: [["minor", "minor"], ["major", "major"], ["critical", "critical"]], value: "minor" }),
      field("Tell", "after", { tag: "select", choices: [["0s", "at once"], ["5m", "if nobody acknowledges within 5 minutes"], ["15m", "if nobody acknowledges within 15 minutes"], ["30m", "if nobody acknowledges within 30 minutes"], ["1h", "if nobody acknowledges within 1 hour"]], value: given.after ?? "0s" }),
    ],
    submit: async (values) => {
      const list = (text) => text.split(",").map((each) => each.trim()).filter(Boolean);
      await send("POST", "notices/channels", { ...values, url: ["mail", "webhook"].includes(values.kind) ? values.url : "", to: list(values.to), devices: list(values.devices), secret: values.secret || null });
      await done();
      await send("POST", `notices/channels/${encodeURIComponent(values.name)}/test`);
      tell(`Saved; “${values.name}” took a test message`);
    },
  }));
}
