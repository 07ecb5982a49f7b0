// The API: JSON requests, and the live feed with what was missed told to the listener.

const base = "api/v1/";

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// Nobody answers at the page's address.
export class UnreachableError extends Error {}

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new UnreachableError("Driftline does not answer", { cause: error });
  }
}

export function query(parameters) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const each of [value].flat()) if (each !== undefined && each !== null) search.append(name, each);
  }
  return search.toString();
}

export async function get(path, parameters = {}, signal = undefined) {
  const search = query(parameters);
  return read(await reach(base + path + (search ? `?${search}` : ""), { signal }));
}

// The list of devices, page by page; `partly` is called with what there is after each page but the last.
export async function allDevices(signal = undefined, partly = undefined) {
  const reply = await get("devices", {}, signal);
  while (reply.devices.length < reply.total) {
    partly?.(reply);
    const more = await get("devices", { offset: reply.devices.length }, signal);
    if (!more.devices.length) break;
    reply.devices.push(...more.devices);
  }
  return reply;
}

// Changes something. A CSRF token that has gone stale, as after signing in elsewhere, is fetched anew once.
export async function send(method, path, content = undefined) {
  const attempt = () => reach(base + path, {
    method,
    headers: { "Content-Type": "application/json", ...(me?.csrf_token ? { "X-CSRF-Token": me.csrf_token } : {}) },
    body: content === undefined ? undefined : JSON.stringify(content),
  });
  let response = await attempt();
  if (response.status === 403 && (await response.clone().json()).error?.code === "csrf") {
    await whoAmI();
    response = await attempt();
  }
  return read(response);
}

async function read(response) {
  const body = await response.json();
  if (!response.ok && body.error) {
    if (body.error.code === "sign_in") dispatchEvent(new Event("driftline-sign-in"));
    throw new ApiError(response.status, body.error.code, body.error.message);
  }
  return body;
}

// Who uses the page, as `/me` says: name, role, and whether people sign in here at all.
export let me = null;

export async function whoAmI() {
  me = await get("me");
  return me;
}

export async function signIn(name, password) {
  me = await send("POST", "sign-in", { name, password });
  return me;
}

export async function signOut() {
  me = await send("POST", "sign-out");
}

const roles = ["viewer", "operator", "admin"];

// Whether the person may do what `role` may.
export function may(role) {
  return roles.indexOf(me?.role) >= roles.indexOf(role);
}

export function devicePath(device) {
  return `devices/${device.split("/").map(encodeURIComponent).join("/")}`;
}

export function deviceLink(device, range = {}) {
  const search = query(range);
  return `#/device/${encodeURIComponent(device)}${search ? `?${search}` : ""}`;
}

// Nanoseconds as text: beyond 2^53 the shortest writing of a double may be in exponential form.
export function instant(time) {
  return BigInt(Math.round(time)).toString();
}

// Follows the live feed until `signal` ends. A hidden page lets go of its connection, of which a browser has few, and
// asks anew for what it missed.
export function follow(parameters, handlers, signal) {
  let source = null;
  let stale = false;
  const missed = () => { stale = false; handlers.gap?.(); };
  const open = () => {
    if (source || signal.aborted || document.hidden) return;
    source = new EventSource(`${base}events?${query(parameters)}`);
    source.onopen = () => { if (stale) missed(); };
    source.onerror = () => {
      stale = true;
      if (source.readyState === EventSource.CLOSED) { close(); setTimeout(open, 3000); }
    };
    source.addEventListener("points", (event) => handlers.points?.(JSON.parse(event.data)));
    source.addEventListener("alarms", (event) => handlers.alarms?.(JSON.parse(event.data).alarms));
    source.addEventListener("gap", () => missed());
  };
  const close = () => {
    source?.close();
    source = null;
    stale = true;
  };
  const visible = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", visible);
  signal.addEventListener("abort", () => {
    close();
    document.removeEventListener("visibilitychange", visible);
  });
  open();
}

// Runs `task` now and then every `seconds` after it has ended, while the page is seen, until `signal` ends.
export function repeat(task, seconds, signal) {
  let timer = 0;
  const run = async () => {
    clearTimeout(timer);
    const started = performance.now();
    if (!document.hidden) {
      try { await task(); } catch (error) { if (!signal.aborted) report(error); }
    }
    if (!signal.aborted) timer = setTimeout(run, Math.max(seconds * 1000, 10 * (performance.now() - started)));
  };
  const visible = () => { if (!document.hidden) run(); };
  document.addEventListener("visibilitychange", visible);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", visible);
  });
  return run();
}

export function report(error) {
  if (error.name !== "AbortError") dispatchEvent(new CustomEvent("driftline-error", { detail: error }));
}
