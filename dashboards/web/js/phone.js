// A phone as a sensor: what its sensors say goes to the API, once a second, under the identity in the address.

const [device, token] = location.hash.slice(1).split(":");
const most = 3_000;
const now = { motion: null, acceleration: null, orientation: null, sound: null, battery: null };
const waiting = [];
let sent = 0;

const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const tell = (text) => { element("state").textContent = text; };
const rounded = (value) => Math.round(value * 1000) / 1000;

element("device").textContent = device || "nobody: open the page by its QR code";
element("start").addEventListener("click", () => start().catch((error) => tell(error.message)));
if (!device || !token) /** @type {HTMLButtonElement} */ (element("start")).disabled = true;

async function start() {
  const missing = [];
  /** @type {[string, () => Promise<void>][]} */
  const parts = [["motion and orientation", beginMotion], ["sound", beginSound], ["battery", beginBattery]];
  for (const [word, begin] of parts) {
    try {
      await begin();
    } catch (error) {
      missing.push(`${word}: ${error.message}`);
    }
  }
  element("missing").textContent = missing.length ? `Not sent: ${missing.join("; ")}` : "";
  element("start").hidden = true;
  const rate = Number(/** @type {HTMLSelectElement} */ (element("rate")).value);
  setInterval(sample, 1000 / rate);
  setInterval(flush, 1000);
  navigator.wakeLock?.request("screen").catch(() => undefined);
  tell("starting");
}

async function beginMotion() {
  if (!globalThis.isSecureContext) throw new Error("the browser gives it over HTTPS alone");
  // Only some browsers ask, and only from a tap.
  for (const kind of [globalThis.DeviceMotionEvent, globalThis.DeviceOrientationEvent]) {
    const ask = /** @type {any} */ (kind)?.requestPermission;
    if (ask && (await ask.call(kind)) !== "granted") throw new Error("not allowed");
  }
  addEventListener("devicemotion", (event) => {
    const { x, y, z } = event.acceleration ?? {};
    if (x === null || x === undefined) return;
    now.acceleration = { x: rounded(x), y: rounded(y ?? 0), z: rounded(z ?? 0) };
    // The strongest between two readings counts, so that a short shake is not missed.
    now.motion = Math.max(now.motion ?? 0, rounded(Math.hypot(x, y ?? 0, z ?? 0)));
  });
  addEventListener("deviceorientation", ({ alpha, beta, gamma }) => {
    if (beta !== null && gamma !== null) now.orientation = { alpha: rounded(alpha ?? 0), beta: rounded(beta), gamma: rounded(gamma) };
  });
}

async function beginSound() {
  if (!navigator.mediaDevices) throw new Error("the browser gives it over HTTPS alone");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, each) => sum + each * each, 0) / samples.length;
    now.sound = Math.round(100 * Math.log10(Math.max(power, 1e-10))) / 10;
  }, 100);
}

async function beginBattery() {
  const ask = /** @type {any} */ (navigator).getBattery;
  if (!ask) throw new Error("the browser does not tell it");
  const battery = await ask.call(navigator);
  const read = () => { now.battery = Math.round(battery.level * 100); };
  battery.addEventListener("levelchange", read);
  read();
}

function sample() {
  const told = Object.entries(now).filter(([, value]) => value !== null);
  if (!told.length) return;
  waiting.push({ topic: `phone/${device}`, payload: { phone: true, time: Date.now(), ...Object.fromEntries(told) } });
  now.motion = now.acceleration ? 0 : null;
  if (waiting.length > most) waiting.splice(0, waiting.length - most);
}

async function flush() {
  const batch = waiting.splice(0, waiting.length);
  if (!batch.length) { tell("Nothing is to be had of this phone's sensors."); return; }
  try {
    const response = await fetch("api/v1/messages", {
      method: "POST", headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` }, body: JSON.stringify(batch),
    });
    if (response.status === 401) { tell("The address has expired: scan a new code."); return; }
    if (!response.ok) throw new Error((await response.json()).error.message);
    sent += batch.length;
    tell(`${sent.toLocaleString("en")} readings sent`);
  } catch (error) {
    waiting.unshift(...batch);
    tell(`Not sent yet: ${error.message}`);
  }
}
