// How values are written.

export const OUTCOMES = {
  success: "Both steps are done.",
  superseded: "Another event was first. Nothing is left to do.",
  ignored: "The event needs no work.",
  retried: "A call failed. The queue delivers the record again.",
  deferred: "There was no time, or a service is not called at the moment. The queue delivers the record again.",
  failed: "A service rejected it. A person must look.",
  invalid_payload: "The body was not understood.",
  interrupted: "The function gave no response, for example because its process was killed.",
};

export const SERVICES = { "reservation-api": "Reservation API", inventory: "Inventory" };

export const BEHAVIOURS = {
  works: "works",
  refuses: "refuses connections",
  hangs: "hangs: no work, no reply",
  slow: "answers slowly",
  denies: "denies access (401, UNAUTHENTICATED)",
  unavailable: "is unavailable (503, UNAVAILABLE)",
  "loses-replies": "does the work, loses the reply",
  lies: "says done, does nothing",
};

// Characters that cannot be seen and change how the text around them looks, for example its direction.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
export const visible = (text) => text.replace(HIDDEN, (char) => `⟨U+${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);

export const outcome = (name) => name.replace("_", " ");

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export function milliseconds(ms) {
  if (ms >= 10_000) return `${(ms / 1_000).toFixed(1)} s`;
  return `${ms >= 100 ? ms.toFixed(0) : ms.toFixed(1)} ms`;
}

// A duration in seconds or minutes.
export const duration = (seconds) => (seconds < 60 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`);

// The local time of day of a time in RFC 3339.
export function timeOfDay(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return "";
  return time.toLocaleTimeString("en-GB") + "." + String(time.getMilliseconds()).padStart(3, "0");
}

// The sum of a number over the latest seconds of the overview, for example of all attempts.
export function sum(overview, seconds, number) {
  const after = Date.now() / 1_000 - seconds - 1;
  return overview.seconds.reduce((total, second) => total + (second.at > after ? number(second) : 0), 0);
}

// The state of the breakers of a service: its kind and its text. `null`: all of them are closed.
export function breakerState(name, { processes }) {
  const open = processes.filter(({ breakers }) => breakers[name]?.is_open).length;
  const limited = processes.filter(({ breakers }) => breakers[name]?.is_limited).length;
  const of = (number) => `${number} of ${count(processes.length, "process", "processes")}`;
  if (open) return ["open", `breaker open in ${of(open)}`];
  return limited ? ["limited", `attempts limited in ${of(limited)}`] : null;
}

export function perSecond(overview, number) {
  const rate = sum(overview, 5, number) / 5;
  return rate >= 10 || rate === 0 ? rate.toFixed(0) : rate.toFixed(1);
}
