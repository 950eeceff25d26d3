// Shows who is logged in and which key signed the access token, and refreshes it in time.
// This script cannot read the tokens: they are in cookies that only the browser and the service see.

const RETRY_MS = 2000;
const TIMEOUT_MS = 10000;
const REFRESH_AT = 2 / 3; // of an access token's life
const MAX_EVENTS = 12;
const ENDED = "The session has ended; please log in.";

const element = (id) => document.getElementById(id);
let shown = null;
let expiresAt = 0;
let timer;

// Resolves to null for 401. Throws while the service cannot answer: the session may still be valid.
async function ask(method, path, body) {
  // keepalive: an answer with a new refresh token must not be lost when the page is left.
  const reply = await fetch(path, { method, body, keepalive: true, signal: AbortSignal.timeout(TIMEOUT_MS) });
  const text = await reply.text();
  if (reply.status === 401) return null;
  if (!reply.ok) throw new Error(`${path} answered ${reply.status}`);
  return text ? JSON.parse(text) : {};
}

const me = () => ask("GET", "/api/me");
const refresh = () => ask("POST", "/session/refresh");
const current = async () => (await me()) ?? ((await refresh()) && me());
const refreshed = async () => (await refresh()) && current();
const loggedIn = async (form) => (await ask("POST", "/login", form)) && me();
const loggedOut = async () => void (await ask("POST", "/session/logout"));

// Runs one step after the other, in all tabs: two refreshes at once would use up each other's tokens.
function take(step, otherwise) {
  clearTimeout(timer);
  return navigator.locks.request("session", async () => {
    try {
      const found = await step();
      if (found) show(found);
      else leave(otherwise);
    } catch {
      element("notice").textContent = "The service is not ready; trying again.";
      schedule(step, otherwise, RETRY_MS);
    }
  });
}

function schedule(step, otherwise, delay) {
  clearTimeout(timer);
  timer = setTimeout(take, delay, step, otherwise);
}

function show(found) {
  tell(found);
  shown = found;
  expiresAt = performance.now() + found.expires_in * 1000;
  for (const id of ["user", "kid", "jti"]) element(id).textContent = found[id];
  display("account");
  element("notice").textContent = "";
  schedule(refreshed, ENDED, found.expires_in * 1000 * REFRESH_AT);
}

function leave(notice) {
  shown = null;
  element("events").replaceChildren();
  element("notice").textContent = notice;
  display("login");
}

function display(id) {
  for (const each of ["login", "account"]) element(each).hidden = each !== id;
}

function tell(found) {
  if (found.jti === shown?.jti) return;
  const key = found.kid.slice(0, 12);
  let text = `refreshed; ${key} still signs`;
  if (!shown) text = `logged in; ${key} signs`;
  else if (found.kid !== shown.kid) text = `refreshed; new key: ${key} signs now`;
  const line = document.createElement("li");
  line.className = found.kid === shown?.kid ? "" : "rotated";
  line.textContent = `${new Date().toTimeString().slice(0, 8)}  ${text}`;
  element("events").prepend(line);
  element("events").children[MAX_EVENTS]?.remove();
}

element("instance").textContent = location.host;
element("logout").addEventListener("click", () => take(loggedOut, "Logged out."));
element("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new URLSearchParams(new FormData(event.target));
  event.target.password.value = "";
  take(() => loggedIn(form), "Wrong user or password.");
});
setInterval(() => {
  element("left").textContent = `${Math.max(0, Math.ceil((expiresAt - performance.now()) / 1000))} s`;
}, 250);
take(current, "");
