// The configuration by page: a walk for the first minute, and every key. What
// keys there are, what they mean and what is wrong with a value the device
// says; nothing of it stands here.
"use strict";

// ask sends a request: the answer, or an error with words for a person.
async function ask(method, path, body) {
  const r = await fetch(path, {method, ...(body && {headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)})}).catch(() => null);
  if (!r) throw new Error("The device does not answer.");
  const text = await r.text();
  let answer = {};
  try { answer = text ? JSON.parse(text) : {}; } catch { /* no JSON */ }
  if (r.ok) return answer;
  throw Object.assign(new Error(answer.detail || "The device refuses (" + r.status + ")."), {status: r.status, kind: answer.error});
}

let config = {settings: [], free_pins: [], lines: [], pending: []};
const settingOf = key => config.settings.find(s => s.key === key) || {value: "", secret: false};
const change = (changes, take) => ask("PATCH", "v1/config", {of: config.version, changes, take});
async function load() { config = await ask("GET", "v1/config"); }

// ---- who may -------------------------------------------------------------

// open begins: with the walk where the device has no token or no task yet, or
// when that was asked for.
async function open() {
  $("closed").hidden = true;
  try {
    const claim = await ask("GET", "v1/claim");
    if (!claim.claimed) {
      if (!claim.open) return closed("This device cannot be set up here: " + claim.reason + ".");
      $("new-token").value = [...crypto.getRandomValues(new Uint8Array(8))].map(b => b.toString(16).padStart(2, "0")).join("");
      return walk("token");
    }
    await load();
  } catch (e) {
    if (e.status === 401) { askToken(); return; }
    return closed(e.message);
  }
  if (config.fresh || location.hash === "#walk") walk("camera"); else showAll();
}
function closed(text) { $("closed").hidden = false; say($("closed"), text); }

const askToken = loginOf("device", open);

// ---- the walk ------------------------------------------------------------

const STEPS = ["token", "camera", "pin", "names", "done"];
const began = performance.now();
const took = {}; // seconds from the first page to each step, for who measures
let token = "", step = "";

// walk shows one step.
function walk(name) {
  if (step === "camera" && name !== "camera") endLook();
  step = name;
  took[name] = (performance.now() - began) / 1000;
  $("all").hidden = true;
  $("walk").hidden = false;
  for (const s of STEPS) $("step-" + s).hidden = s !== name;
  const at = STEPS.indexOf(name);
  say($("walk-count"), name === "done" ? "" : `step ${at + 1} of ${STEPS.length - 1}`);
  $("way").replaceChildren(...STEPS.slice(0, -1).map((s, i) => el("li", {class: i <= at ? "on" : ""})));
  if (name === "camera") watch();
  if (name === "pin") fillPins();
  if (name === "names") fillNames();
  $("step-" + name).querySelector("h3").focus({preventScroll: false});
}
const wrong = (name, text) => say($("step-" + name).querySelector(".wrong"), text);
function onStep(name, f) {
  const form = $("step-" + name);
  form.addEventListener("submit", async e => {
    e.preventDefault();
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    try { await f(); } catch (x) { if (x.status === 401) askToken(); else wrong(name, x.message); }
    button.disabled = false;
  });
}

onStep("token", async () => {
  await ask("POST", "v1/claim", {token: $("new-token").value});
  token = $("new-token").value;
  await load();
  walk("camera");
});

// The picture is shown after the person has agreed, and goes with the step.
let looking = false, source, picture = 0;
function nextPicture() {
  if (!looking) return;
  const img = $("walk-picture");
  const again = () => setTimeout(nextPicture, 250);
  img.onload = () => { if (looking) { img.hidden = false; $("walk-empty").hidden = true; } again(); };
  img.onerror = again;
  img.src = "v1/preview.jpg?n=" + picture++;
}
function endLook() {
  if (source) source.close();
  source = null;
  const was = looking;
  looking = false;
  $("walk-picture").hidden = true;
  $("walk-picture").removeAttribute("src");
  $("walk-empty").hidden = false;
  $("walk-look").setAttribute("aria-pressed", "false");
  say($("walk-look"), "I agree: show the picture");
  if (was) fetch("v1/look", {method: "PUT", keepalive: true, headers: {"Content-Type": "application/json"}, body: '{"given":false}'}).catch(() => {});
}
addEventListener("pagehide", endLook);
$("walk-look").addEventListener("click", async () => {
  if (looking) { endLook(); watch(); return; }
  try { await ask("PUT", "v1/look", {given: true}); } catch (e) { say($("walk-empty"), e.message); return; }
  looking = true;
  $("walk-look").setAttribute("aria-pressed", "true");
  say($("walk-look"), "Hide the picture");
  nextPicture();
});

// watch says whether pictures come and a face is found in them.
let faces = 0, ready = false, reason = "";
function watch() {
  if (source) source.close();
  source = new EventSource("v1/events");
  source.addEventListener("reading", e => { faces = JSON.parse(e.data).faces.length; found(); });
  source.addEventListener("status", e => { const h = JSON.parse(e.data).health; ready = h.ready; reason = h.reason; found(); });
}
function found() {
  say($("finding"), !ready ? "No pictures yet: " + reason : faces > 1 ? faces + " faces are found" : faces ? "A face is found" : "No face is found: look into the camera, with light from the front");
  $("finding").classList.toggle("on", ready && faces > 0);
}
onStep("camera", async () => walk("pin"));

// What a line says, in words; lines of labels say themselves.
const LINES = {face: "somebody is there", ready: "the device works"};
function fillPins() {
  const pins = config.free_pins.map(p => el("option", {value: p.name}, p.number ? `${p.name} · pin ${p.number}` : p.name));
  $("walk-pin").replaceChildren(...pins, el("option", {value: ""}, "none for now"));
  const lines = config.lines.filter(l => l in LINES || l.startsWith("is_"));
  lines.sort((a, b) => (b === "face") - (a === "face"));
  $("walk-line").replaceChildren(...lines.map(l => el("option", {value: l}, LINES[l] || "the answer " + l.slice(3).replaceAll("_", " "))));
  if (config.simulated) say($("pin-words"), "This machine has no pins of its own: they are simulated, and move on the page.");
}
$("walk-blink").addEventListener("click", async () => {
  if (!$("walk-pin").value) return;
  try {
    await ask("POST", "v1/identify", {pin: $("walk-pin").value});
    wrong("pin", "");
    $("walk-blink").disabled = true;
    say($("walk-blink"), "Blinking");
    setTimeout(() => { $("walk-blink").disabled = false; say($("walk-blink"), "Let it blink"); }, 2200);
  } catch (e) { wrong("pin", e.message); }
});

// chosen is what the walk has asked for so far.
function chosen() {
  const changes = {}, put = (key, value) => { if (value && value !== settingOf(key).value) changes[key] = value; };
  const pin = $("walk-pin").value, line = $("walk-line").value;
  if (pin) {
    const before = settingOf("signals.lines").value.split("\n").filter(l => l && !l.startsWith(line + ":"));
    changes["signals.lines"] = [...before, `${line}: ${pin}${$("walk-active").value}`].join("\n");
    if (config.simulated) put("signals.pins", "simulated");
  }
  put("name", $("walk-name").value.trim());
  put("time_zone", $("walk-zone").value.trim());
  put("mqtt.broker", $("walk-broker").value.trim());
  put("mqtt.user", $("walk-user").value.trim());
  put("mqtt.password", $("walk-password").value);
  return changes;
}
// flaws is what the device says of a change, in lines.
const flaws = v => v.problems.map(p => (p.key ? p.key + ": " : "") + p.text).join("\n");
onStep("pin", async () => {
  const v = await change(chosen(), false);
  wrong("pin", flaws(v));
  if (!v.problems.length) walk("names");
});
function fillNames() {
  if (!$("walk-name").value) $("walk-name").value = settingOf("name").value;
  if (!$("walk-zone").value) $("walk-zone").value = settingOf("time_zone").value || Intl.DateTimeFormat().resolvedOptions().timeZone || "";
  if (!$("walk-broker").value && !settingOf("mqtt.broker").secret) $("walk-broker").value = settingOf("mqtt.broker").value;
}
onStep("names", async () => {
  const v = await change(chosen(), true);
  wrong("names", flaws(v));
  if (!v.taken) return;
  walk("done");
  say($("done-keep"), token ? "Keep the token: " + token : "");
  if (v.pending.length) await restart();
  follow($("walk-pin").value && $("walk-line").value);
});

// restart starts the device again and waits until the next run answers: this
// one does to its end.
async function restart() {
  const before = (await ask("GET", "v1/claim")).run;
  await ask("POST", "v1/restart");
  for (let i = 0; i < 120; i++) {
    await new Promise(f => setTimeout(f, 500));
    const now = await ask("GET", "v1/claim").catch(() => null);
    if (now && now.run !== before) break;
  }
  if (token) await ask("POST", "v1/session", {token});
}

// follow shows the line that was chosen as it moves.
function follow(line) {
  say($("done-title"), "Done");
  say($("done-words"), line ? "Stand in front of the camera, and step aside again." : "The device runs with it.");
  if (!line) return;
  const level = $("done-level").firstElementChild;
  let before;
  const show = on => {
    $("done-level").hidden = false;
    level.classList.toggle("on", on);
    say(level, `${$("walk-pin").value} is ${on ? "active" : "idle"}`);
    if (before !== undefined && before !== on || on) took.moved ??= (performance.now() - began) / 1000;
    before = on;
  };
  source = new EventSource("v1/events");
  source.addEventListener("status", e => { const l = JSON.parse(e.data).lines.find(l => l.line === line); if (l) show(l.active); });
  source.addEventListener("transition", e => { const t = JSON.parse(e.data); if (t.line === line) show(t.active); });
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) askToken(); };
}

// ---- every key -------------------------------------------------------------

const TITLES = {oled: "OLED", leds: "LEDs", mqtt: "MQTT"}; // where a capital letter is not enough

// showAll draws the form: a group of keys for each that the file has.
async function showAll() {
  $("walk").hidden = true;
  $("all").hidden = false;
  const groups = new Map();
  for (const s of config.settings) {
    const name = s.key.includes(".") ? s.key.slice(0, s.key.indexOf(".")) : "general";
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(s);
  }
  $("form").replaceChildren(...[...groups].map(([name, keys]) => {
    const doc = (keys.find(s => s.group) || {}).group;
    const changed = keys.filter(s => s.set).length;
    const d = el("details", {class: "group", id: "group-" + name}, el("summary", {}, el("span", {class: "name"}, TITLES[name] || name), " ",
      el("small", {}, changed ? changed + " changed" : "")), ...(doc ? [el("p", {class: "doc"}, doc)] : []), ...keys.map(field));
    return d;
  }));
  pending(config.pending);
  $("undo").disabled = !config.undo;
  find();
}

// field is one key: its name, a control of its kind, what the sample says.
function field(s) {
  const id = "key-" + s.key, many = s.kind === "table", name = s.key.slice(s.key.indexOf(".") + 1);
  const attrs = {id, name: s.key, "aria-describedby": id + "-doc " + id + "-wrong", autocomplete: "off", spellcheck: "false"};
  let control;
  if (s.kind === "switch") {
    control = el("select", attrs, el("option", {value: "true"}, "on"), el("option", {value: "false"}, "off"));
  } else if (many) control = el("textarea", {...attrs, rows: Math.max(2, s.value.split("\n").length + 1)});
  else control = el("input", {...attrs, autocomplete: s.secret ? "new-password" : "off", type: s.secret ? "password" : "text",
    ...(s.kind === "whole" || s.kind === "number" ? {inputmode: "decimal"} : {}), ...(s.secret ? {placeholder: s.set ? "set, not shown" : "not set"} : {})});
  control.value = s.secret ? "" : s.value;
  control.dataset.was = control.value;
  control.addEventListener("input", () => { mark(control); dirty(); });
  const extra = [];
  if (s.secret && s.set) { // what cannot be seen can be taken away
    const remove = el("button", {type: "button", class: "quiet", "aria-label": "Remove " + name}, "Remove");
    remove.addEventListener("click", () => { control.value = ""; control.dataset.was = "set"; control.placeholder = "is removed when you save"; mark(control); dirty(); });
    extra.push(remove);
  }
  return el("div", {class: "field" + (s.set ? " set" : ""), "data-words": (s.key + " " + s.doc).toLowerCase()},
    el("label", {for: id}, name, ...(s.restart ? [el("small", {class: "badge"}, "needs a restart")] : [])), ...(extra.length ? [el("div", {class: "pair"}, control, ...extra)] : [control]),
    el("p", {class: "doc", id: id + "-doc"}, s.doc), el("p", {class: "wrong", id: id + "-wrong", role: "alert"}));
}
const mark = control => control.closest(".field").classList.toggle("edited", control.value !== control.dataset.was);
const edited = () => [...$("form").elements].filter(c => c.name && c.value !== c.dataset.was);
function dirty() { const n = edited().length; say($("verdict"), n ? (n === 1 ? "1 key is changed here" : n + " keys are changed here") + ", not saved yet." : ""); }
function pending(keys) {
  $("restart").hidden = !keys.length;
  if (keys.length) say($("verdict"), "Wait for a restart: " + keys.join(", ") + ".");
}

// judge puts each problem beside its key.
function judge(v) {
  for (const w of $("form").querySelectorAll(".wrong")) say(w, "");
  for (const c of $("form").elements) c.removeAttribute("aria-invalid");
  let first;
  const rest = [];
  for (const p of v.problems) {
    const c = $("key-" + p.key);
    if (!c) { rest.push((p.key ? p.key + ": " : "") + p.text); continue; }
    c.setAttribute("aria-invalid", "true");
    say($("key-" + p.key + "-wrong"), p.text);
    c.closest("details").open = true;
    first ??= c;
  }
  if (v.problems.length) say($("verdict"), ["Not saved: " + (v.problems.length === 1 ? "one thing is wrong." : v.problems.length + " things are wrong."), ...rest].join(" "));
  if (first) first.focus();
}
$("form").addEventListener("submit", async e => {
  e.preventDefault();
  const changes = Object.fromEntries(edited().map(c => [c.name, c.value]));
  if (!Object.keys(changes).length) { say($("verdict"), "Nothing is changed."); return; }
  await act(() => change(changes, true), "Saved.");
});
$("undo").addEventListener("click", () => act(() => ask("POST", "v1/config/undo"), "The configuration before is back."));
$("restart").addEventListener("click", async () => {
  say($("verdict"), "The device starts again.");
  $("restart").hidden = true;
  try { await restart(); await load(); await showAll(); say($("verdict"), "The device has started again."); }
  catch (e) { if (e.status === 401) askToken(); else say($("verdict"), e.message); }
});

// act does something to the file and shows what came of it.
async function act(f, well) {
  $("save").disabled = $("undo").disabled = true;
  try {
    const v = await f();
    judge(v);
    if (v.taken) {
      const opened = [...document.querySelectorAll("details[open]")].map(d => d.id);
      await load();
      await showAll();
      for (const id of opened) $(id).open = true;
      say($("verdict"), well + (v.pending.length ? " Wait for a restart: " + v.pending.join(", ") + "." : ""));
    }
  } catch (e) { if (e.status === 401) askToken(); else say($("verdict"), e.message); }
  $("save").disabled = false;
  $("undo").disabled = !config.undo;
}
$("walk-again").addEventListener("click", () => walk("camera"));
$("done-all").addEventListener("click", async e => { e.preventDefault(); try { await load(); showAll(); } catch { location.assign("settings"); } });

// find shows the keys that have a word in their name or their text.
function find() {
  const words = $("find").value.trim().toLowerCase();
  for (const g of document.querySelectorAll("details.group")) {
    let some = false;
    for (const f of g.querySelectorAll(".field")) { f.hidden = !f.dataset.words.includes(words); some ||= !f.hidden; }
    g.hidden = !some;
    if (words) g.open = true;
  }
}
$("find").addEventListener("input", find);

open();
