// Whether a device is heard from, in words: what the API calls its life.

// The series that the alarm of a silent device belongs to: it has no readings.
export const silence = "device:silent";

/** @type {Record<string, {word: string, kind: string, meaning: string}>} */
export const lives = {
  online: { word: "Online", kind: "ok", meaning: "" },
  silent: { word: "Silent", kind: "silent", meaning: "Nothing has come for longer than it ever takes" },
  quiet: { word: "Quiet", kind: "silent", meaning: "Nothing has come for far longer than it took so far; too little is known of how often it sends to call it silent" },
  refused: { word: "Refused", kind: "warning", meaning: "None of its messages can be read" },
  new: { word: "New", kind: "warming", meaning: "It has sent once or twice only: how often it sends is not known yet" },
  offline: { word: "Offline", kind: "silent", meaning: "It, or the broker for it, has said that it is gone" },
  retired: { word: "Retired", kind: "", meaning: "Taken out of service" },
};
