// What a page does by itself: counting down, keys, scanning, one press of a button, and whether it is live. It works
// without any of this; nothing here knows money, stock or phases.

const byId = (id) => document.getElementById(id);
const typing = (target) => target.closest("input, textarea, select, [contenteditable]");

// A deadline is told as seconds that are left by the server's clock; the page counts on from when it got them.
const counted = new WeakMap();
function told(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.abs(seconds);
  const parts = [];
  for (const [unit, size] of units) {
    const number = Math.floor(rest / size);
    rest -= number * size;
    if (number && parts.length < 2) parts.push(`${number} ${unit}`);
  }
  const text = parts.join(" ") || "0 s";
  return seconds < 0 ? `late by ${text}` : text;
}
function countDown() {
  for (const due of document.querySelectorAll(".due[data-left]")) {
    if (!counted.has(due)) counted.set(due, performance.now() + Number(due.dataset.left) * 1000);
    const left = Math.round((counted.get(due) - performance.now()) / 1000);
    const text = told(left);
    if (due.textContent !== text) due.textContent = text;
    due.className = `due ${left < 0 ? "late" : left < 300 ? "soon" : "calm"}`;
  }
}
countDown();
setInterval(countDown, 1000);

// A form is sent once; its key makes a second one harmless, this makes it rare.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  for (const button of form.querySelectorAll("button")) {
    button.disabled = true;
    button.textContent = "Sending…";
  }
});
window.addEventListener("pageshow", (event) => event.persisted && location.reload());

// Live, by the room's stream.
const badge = byId("live");
let last = 0;
function say(state, text) {
  badge.hidden = false;
  if (badge.dataset.state !== state || badge.textContent !== text) {
    badge.dataset.state = state;
    badge.textContent = text;
  }
}
if (badge && document.querySelector("[sse-connect]")) {
  document.addEventListener("htmx:sseOpen", () => { last = Date.now(); say("live", "live"); });
  document.addEventListener("htmx:sseMessage", () => { last = Date.now(); say("live", "live"); });
  document.addEventListener("htmx:sseError", () => say("broken", `reconnecting · data of ${new Date(last || Date.now()).toISOString().slice(11, 19)}`));
  document.addEventListener("htmx:sseClose", () => say("over", "over: nothing changes here any more"));
}
document.addEventListener("htmx:afterSwap", () => {
  countDown();
  const room = byId("room");
  const head = room && room.querySelector("h1 .pill");
  const moved = document.querySelector("#actions .moved");
  if (room && head && moved && room.dataset.seen) moved.hidden = room.dataset.seen.split("/")[0] === head.dataset.phase;
});

// Keys. Never while somebody types, not at all for who turns them off, and not where a scanner types.
const pick = document.querySelector("[data-pick]");
const off = byId("keys-off");
if (off) {
  off.checked = localStorage.getItem("keys") === "off";
  off.addEventListener("change", () => localStorage.setItem("keys", off.checked ? "off" : "on"));
  byId("help-button").addEventListener("click", () => byId("help").showModal());
}
let goes = false;
function move(step) {
  const rows = [...document.querySelectorAll("[data-row]")];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains("at-hand"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  rows.forEach((row) => row.classList.remove("at-hand"));
  next.classList.add("at-hand");
  (next.matches("a") ? next : next.querySelector("a"))?.focus();
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || typing(event.target) || pick || (off && off.checked)) return;
  if (goes) {
    goes = false;
    const room = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
    if (room) room.click();
    return;
  }
  const does = {
    "?": () => byId("help")?.showModal(),
    "/": () => byId("find")?.focus(),
    g: () => { goes = true; setTimeout(() => { goes = false; }, 1500); },
    j: () => move(1),
    k: () => move(-1),
    e: () => { const first = document.querySelector('[data-key="e"]'); first?.focus(); first?.click(); },
    n: () => document.querySelector('[data-key="n"]')?.click(),
  }[event.key];
  if (does) { event.preventDefault(); does(); }
});

// A scanner is a keyboard that types without a pause and ends with Enter, wherever the focus is. Nothing else is typed here
// outside of a field.
if (pick) {
  const field = pick.querySelector("[data-scan]");
  const lines = new Map([...pick.querySelectorAll("[data-spu]")].map((line) => [line.dataset.spu, line]));
  const scanned = new Map();
  const heard = byId("scanned");
  function scan(code) {
    const line = lines.get(code);
    if (!line) { heard.textContent = `${code} is not in this order: it wants ${[...lines.keys()].join(", ")}.`; return; }
    const wanted = Number(line.dataset.wanted);
    const now = (scanned.get(code) || 0) + 1;
    if (now > wanted) { heard.textContent = `${code}: the order wants ${wanted}, this is one too many.`; line.classList.add("wrong"); return; }
    scanned.set(code, now);
    line.querySelector("[name=found]").value = now;
    line.classList.toggle("full", now === wanted);
    heard.textContent = `${code}: ${now} of ${wanted}.`;
  }
  let typed = "", at = 0;
  document.addEventListener("keydown", (event) => {
    if (event.target === field || event.ctrlKey || event.altKey || event.metaKey) return;
    const now = performance.now();
    if (now - at > 500) typed = "";
    at = now;
    if (event.key === "Enter" && typed.length > 2) { event.preventDefault(); event.stopPropagation(); scan(typed); typed = ""; }
    else if (event.key.length === 1) typed += event.key;
  }, true);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (field.value.trim()) scan(field.value.trim());
    field.value = "";
  });
}
