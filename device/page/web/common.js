// What the scripts of all pages begin with.
"use strict";

const $ = id => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

// el makes an element: el("p", {class: "x"}, "text", child).
function el(name, attrs, ...children) {
  const e = document.createElement(name);
  for (const k in attrs) e.setAttribute(k, attrs[k]);
  e.append(...children);
  return e;
}
function svg(name, attrs) {
  const e = document.createElementNS(SVG, name);
  for (const k in attrs) e.setAttribute(k, attrs[k]);
  return e;
}
// say changes a text only when it differs, so that nothing is drawn in vain.
function say(e, text) { if (e.textContent !== text) e.textContent = text; }
function set(e, name, value) { if (e.getAttribute(name) !== value) e.setAttribute(name, value); }

// ---- colours ----------------------------------------------------------------------------

const THEMES = {"": ["Auto", "as the system"], light: ["Light", "light"], dark: ["Dark", "dark"]};
function theme(t) {
  if (t) document.documentElement.dataset.theme = t; else delete document.documentElement.dataset.theme;
  if (!$("theme")) return;
  say($("theme-text"), THEMES[t][0]);
  $("theme").setAttribute("aria-label", "Colours: " + THEMES[t][1]);
  try { localStorage.setItem("theme", t); } catch { /* private browsing */ }
}
$("theme")?.addEventListener("click", () => {
  const order = Object.keys(THEMES);
  theme(order[(order.indexOf(document.documentElement.dataset.theme || "") + 1) % order.length]);
});
let kept = "";
try { kept = localStorage.getItem("theme") || ""; } catch { /* private browsing */ }
theme(THEMES[kept] ? kept : "");

// ---- the token --------------------------------------------------------------------------

// loginOf makes the dialog in which somebody shows the token of whose page this is, and
// returns what opens it. When the token was right, then is called.
function loginOf(whose, then) {
  const form = el("form", {id: "login-form"},
    el("h2", {id: "login-title"}, `This ${whose} asks for its token`),
    el("label", {for: "token"}, "Token"),
    el("input", {id: "token", type: "password", autocomplete: "current-password", required: ""}),
    el("p", {class: "wrong", id: "login-error", role: "alert"}),
    el("button", {type: "submit"}, "Open"));
  const login = el("dialog", {id: "login", "aria-labelledby": "login-title"}, form);
  document.body.append(login);
  form.addEventListener("submit", async e => {
    e.preventDefault();
    const r = await fetch("v1/session", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({token: $("token").value})}).catch(() => null);
    if (r && r.ok) { $("token").value = ""; say($("login-error"), ""); login.close(); then(); return; }
    say($("login-error"), !r ? `The ${whose} does not answer.` : r.status === 429 ? "Too many wrong tokens. Wait a moment." : "That is not the token.");
  });
  login.addEventListener("cancel", e => e.preventDefault());
  return () => { if (!login.open) login.showModal(); };
}
