// Requests to the console's server, and the one place where messages to the person appear.

import { visible } from "./words.js";

const notice = document.getElementById("notice");
let hideTimer;

// Shows a message. It is also read aloud.
export function say(text, isError = false) {
  notice.textContent = visible(text);
  notice.classList.toggle("error", isError);
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => (notice.textContent = ""), isError ? 15_000 : 6_000);
}

export const get = (path) => request("GET", path);
export const post = (path, body = {}) => request("POST", path, body);
export const remove = (path) => request("DELETE", path);
export const put = (path, body) => request("PUT", path, body);

// Returns the reply. Shows the reason and returns null if the server refuses the request or does not answer.
async function request(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  try {
    const response = await fetch(path, options);
    const text = await response.text();
    if (response.ok) return text ? JSON.parse(text) : true;
    say(reason(text), true);
  } catch {
    say("The console's server does not answer. Is make local still running?", true);
  }
  return null;
}

function reason(text) {
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return text;
  }
}
