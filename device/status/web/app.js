// The status page. It draws what the device's event stream tells, and keeps
// no history beyond what is on the screen.
"use strict";

const percent = p => Math.round(p * 100) + " %";
const clamp = p => Math.min(1, Math.max(0, p || 0));

let info = {heads: [], header: [], name: "", version: "", system: ""};
let lastNews = 0;

// ---- a face, in the colour of its label ---------------------------------

function newLook() {
  const root = svg("svg", {class: "look", viewBox: "0 0 100 100", "aria-hidden": "true"});
  const part = (name, attrs) => root.appendChild(svg(name, attrs));
  part("circle", {class: "skin", cx: 50, cy: 50, r: 46});
  part("path", {class: "ink", d: "M24 31Q33 28 41 31"}); part("path", {class: "ink", d: "M76 31Q67 28 59 31"});
  part("ellipse", {class: "eye", cx: 33, cy: 44, rx: 4.6, ry: 5.6}); part("ellipse", {class: "eye", cx: 67, cy: 44, rx: 4.6, ry: 5.6});
  part("path", {class: "ink mouth", d: "M34 67.5Q50 69 66 67.5"});
  return root;
}

// ---- people ---------------------------------------------------------------

const headOf = (face, name) => face.heads.find(h => h.head === name);
const answer = head => head.uncertain ? "uncertain" : head.label;
// sureOf is how sure an answer is: a part, or how far a number spreads.
const sureOf = head => head.uncertain ? "" : head.unit ? "± " + head.deviation : percent(head.confidence);
const labelsOf = head => head.unit ? [] : head.labels; // a number has none that a card could show

const people = new Map(); // by id
// The colours of the lead head's labels, in their order, as LEDs have them.
const TONES = 7;
const lead = () => { const heads = enabled(); return heads.find(h => h.name === info.lead) || heads[0]; };
function tone(label) {
  const i = lead() ? labelsOf(lead()).indexOf(label) : -1;
  return i < 0 ? `var(--t${TONES - 1})` : `var(--t${i % TONES})`;
}
const enabled = () => info.heads.filter(h => h.enabled);

function newPerson(id) {
  const look = newLook();
  const label = el("span"), sure = el("small"), who = el("p", {class: "who"}), bars = el("dl", {class: "bars"}), others = el("dl", {class: "others"});
  const card = el("article", {class: "person", "aria-label": "Face " + id}, look,
    el("div", {class: "says"}, el("p", {class: "mood"}, label, " ", sure), who), bars, others);
  const p = {card, label, sure, who, bars: new Map(), others: new Map()};
  const [first, rest] = splitHeads();
  if (first && !first.unit) for (const l of first.labels) {
    const dt = el("dt", {}, l), fill = el("i"), pc = el("span", {class: "pc"});
    fill.style.setProperty("--tone", tone(l));
    bars.append(dt, el("dd", {}, el("div", {class: "bar", "aria-hidden": "true"}, fill), pc));
    p.bars.set(l, {dt, fill, pc});
  } else bars.hidden = true;
  for (const h of rest) {
    const dd = el("dd"), ticks = el("dd", {class: "ticks", "aria-hidden": "true"}, ...labelsOf(h).map(l => el("i", {title: l})));
    others.append(el("div", {class: "other"}, el("dt", {}, h.name), dd, ticks));
    p.others.set(h.name, {dd, ticks});
  }
  others.hidden = rest.length === 0;
  return p;
}

// splitHeads returns the head that a card shows large, and the others.
function splitHeads() {
  const heads = enabled();
  const first = lead();
  return [first, heads.filter(h => h !== first)];
}

function drawPerson(p, face, now, chosen) {
  const [first, rest] = splitHeads();
  const head = first && headOf(face, first.name);
  const label = head ? answer(head) : "face " + face.id;
  p.card.classList.toggle("uncertain", label === "uncertain");
  p.card.style.setProperty("--tone", first ? tone(label) : "var(--accent)");
  say(p.label, label);
  say(p.sure, head ? sureOf(head) : "");
  const quality = face.problem === "fine" || face.problem === "unclear" ? "" : face.problem;
  const text = `Face ${face.id} · ${span((now - p.since) / 1000)}` + (chosen ? " · the lines follow this face" : "");
  p.card.classList.toggle("chosen", chosen);
  if (p.who.dataset.text !== text + quality) {
    p.who.dataset.text = text + quality;
    p.who.replaceChildren(text, ...(quality ? [" · ", el("span", {class: "why"}, quality)] : []));
  }
  for (const [l, b] of p.bars) {
    const v = clamp(head && head.probs[l]);
    b.fill.style.transform = `scaleX(${v.toFixed(3)})`;
    b.dt.classList.toggle("top-label", l === label);
    say(b.pc, percent(v));
  }
  for (const h of rest) {
    const o = p.others.get(h.name), r = headOf(face, h.name);
    if (!o) continue;
    const t = r ? answer(r) + " " : "–", s = r ? sureOf(r) : "";
    if (o.dd.dataset.text !== t + s) { o.dd.dataset.text = t + s; o.dd.replaceChildren(t, el("small", {}, s)); }
    labelsOf(h).forEach((l, i) => o.ticks.children[i].style.setProperty("--v", clamp(r && r.probs[l]).toFixed(2)));
  }
}

function onReading(r) {
  const now = Date.parse(r.time), seen = new Set();
  for (const face of r.faces) {
    seen.add(face.id);
    let p = people.get(face.id);
    if (!p) { people.set(face.id, p = newPerson(face.id)); p.since = begun.get(face.id) ?? now; $("people").append(p.card); }
    drawPerson(p, face, now, r.faces.length > 1 && face.id === r.subject);
  }
  for (const [id, p] of people) if (!seen.has(id)) { p.card.remove(); people.delete(id); }
  $("empty").hidden = r.faces.length > 0;
  say($("count"), r.faces.length === 0 ? "" : r.faces.length === 1 ? "1 face" : r.faces.length + " faces");
  drawMap(r);
  drawLatency(r.latency_ms);
  announce(r);
}

// ---- where ------------------------------------------------------------------

let mapSize = "";
function drawMap(r) {
  const w = r.width, h = r.height, map = $("map");
  if (!w || !h) return;
  if (mapSize !== w + "x" + h) {
    mapSize = w + "x" + h;
    map.setAttribute("viewBox", `0 0 ${w} ${h}`);
    map.replaceChildren(...[1, 2].flatMap(i => [
      svg("path", {class: "grid", d: `M${w * i / 3} 0V${h}`}), svg("path", {class: "grid", d: `M0 ${h * i / 3}H${w}`})]), svg("g", {}));
  }
  const g = map.lastChild;
  while (g.children.length > r.faces.length) g.lastChild.remove();
  while (g.children.length < r.faces.length) {
    const one = svg("g", {});
    one.append(svg("rect", {class: "box"}), svg("text", {class: "tag"}));
    g.append(one);
  }
  r.faces.forEach((f, i) => {
    const [box, tag] = g.children[i].children, {x, y, w: bw, h: bh} = f.box;
    set(box, "x", "" + x); set(box, "y", "" + y); set(box, "width", "" + bw); set(box, "height", "" + bh); set(box, "rx", "" + bw * .12);
    const head = lead() && headOf(f, lead().name);
    g.children[i].classList.toggle("chosen", f.id === r.subject);
    g.children[i].style.setProperty("--tone", head ? tone(answer(head)) : "var(--accent)");
    set(tag, "x", "" + (x + bw * .08)); set(tag, "y", "" + (y + bh * .26)); set(tag, "font-size", "" + Math.max(w / 22, bw * .2));
    say(tag, "" + f.id);
  });
}

let looking = false, picture = 0;
function nextPicture() {
  if (!looking) return;
  const img = $("picture");
  const again = () => setTimeout(nextPicture, document.hidden ? 2000 : 250);
  img.onload = () => { img.hidden = false; again(); };
  img.onerror = () => { img.hidden = true; again(); };
  img.src = "v1/preview.jpg?n=" + picture++;
}
$("look").addEventListener("click", () => {
  looking = !looking;
  $("look").setAttribute("aria-pressed", looking);
  say($("look"), looking ? "Hide the picture" : "Show the picture");
  if (looking) nextPicture(); else { $("picture").hidden = true; $("picture").removeAttribute("src"); }
});

// ---- status -------------------------------------------------------------------

// Every state of the device in words for who looks at it: a title, what stands
// where faces would, and whether something has to be mended.
const STATES = {
  "reading": ["Ready", "Nobody in view", false],
  "starting": ["Starting", "Waiting for the first picture", false],
  "no camera": ["No camera", "The camera gives no pictures. Is it plugged in? It is tried again and again.", true],
  "no model": ["No model", "The model that reads faces cannot be opened, so nothing is read.", true],
  "no head": ["Nothing to read", "Nothing is switched on that the model could read from a face.", true],
  "no consent": ["Waiting for consent", "Nothing is read, and no picture is kept, until consent is given.", false],
  "held": ["Paused", "The device is too hot or short of power. It goes on by itself.", true],
  "hung": ["Not answering", "Reading a picture takes too long. It is started again by itself.", true],
  "wire fault": ["Wire fault", "An output line does not follow. It is tried again and again.", true],
  "stopped": ["Stopped", "The device is stopping.", true],
  "lost": ["No connection", "This page does not hear from the device. It tries again by itself.", false],
};
// words are what went wrong without the names of the program's parts before it.
const words = reason => (reason || "").replace(/(^|; )(?:[a-z][a-z0-9]{2,9}: )+/g, "$1");
const rates = [];
let state = "starting";

function showState(name, reason) {
  const [title, text, bad] = STATES[name] || [name, "", true];
  state = name;
  set($("state"), "data-state", bad ? "fault" : name);
  say($("state-text"), title);
  $("fault").hidden = !bad;
  const detail = bad && reason && reason !== text ? "Details: " + words(reason) : "";
  if ($("fault").dataset.text !== text + detail) {
    $("fault").dataset.text = text + detail;
    $("fault").replaceChildren(text, ...(detail ? [" ", el("small", {}, detail)] : []));
  }
  say($("empty-text"), text);
  document.body.classList.toggle("lost", name === "lost");
  document.body.classList.toggle("stale", name !== "reading" && name !== "lost");
}

// onState is told when the device begins to read, or does not any more.
function onState(s) {
  if (s.state === "no consent") forgetAll();
  showState(s.state, s.reason);
  const [title, , bad] = STATES[s.state] || [s.state, "", true];
  if (s.state !== "starting") log(s.time, s.state === "reading" ? "Reading" : bad && s.reason ? title + ": " + words(s.reason) : title);
}

// forgetAll takes away all that was seen: consent was withdrawn.
function forgetAll() {
  for (const [id, p] of people) { p.card.remove(); people.delete(id); }
  $("empty").hidden = false;
  say($("count"), "");
  $("map").lastChild?.replaceChildren();
  $("log").replaceChildren();
  told.clear();
  begun.clear();
  $("picture").hidden = true;
  $("picture").removeAttribute("src");
}

let model = "";
function onStatus(s) {
  const h = s.health;
  if (h.state === "no consent" && state !== h.state) forgetAll();
  showState(h.state, h.reason);
  $("preview-notice").hidden = $("look").hidden = !h.preview;
  say($("privacy"), h.preview ? "No picture is stored, and none leaves this device except to this page while somebody looks." : "No picture is stored, and none leaves this device.");
  if (!h.preview && looking) $("look").click();
  say($("fps"), h.fps.toFixed(h.fps < 9.95 ? 1 : 0));
  rates.push(h.fps);
  if (rates.length > 60) rates.shift();
  drawSpark();
  say($("temperature"), h.celsius ? h.celsius.toFixed(0) + " °C" : "unknown");
  say($("frames"), h.frames.toLocaleString("en"));
  say($("dropped"), h.dropped.toLocaleString("en"));
  const bad = Object.entries(h.bad).filter(([, n]) => n > 0);
  $("bad-fact").hidden = !bad.length;
  say($("bad"), bad.map(([what, n]) => n.toLocaleString("en") + " " + what.replace("_", " ")).join(", "));
  $("bad").title = words(h.bad.last);
  say($("uptime"), span(s.uptime_seconds));
  $("throttled").hidden = !h.throttled;
  say($("throttled"), h.throttled ? "Held down: " + h.throttled : "");
  drawParts((h.parts || []).filter(p => p.problem));
  for (const name of ["outbox", "fleet"]) {
    const box = s[name];
    $(name + "-fact").hidden = !box;
    if (box) say($(name), box.queued >= 20 ? box.queued.toLocaleString("en") + " waiting" : box.connected ? "connected" : "not connected");
  }
  drawLines(s.lines);
  const asks = h.consent === "given" || h.consent === "awaited", given = h.consent === "given";
  $("consent").hidden = !asks;
  if (asks) {
    say($("consent-text"), given ? "Consent is given: faces are being read." : "Without consent nothing is read: the device is blind.");
    say($("consent-button"), given ? "Withdraw consent" : "Give consent");
    $("consent-button").dataset.given = !given;
  }
  model = [h.model, h.engine].filter(x => x).join(" · ");
  about();
}

// PARTS names what the device can do without.
const PARTS = {page: "The page", mdns: "The name in the network", history: "The counts", mqtt: "MQTT", oled: "The display", leds: "The LEDs", buzzer: "The buzzer"};

function drawParts(broken) {
  const text = broken.map(p => `${PARTS[p.part] || p.part} is out of order: ${words(p.problem)}`);
  const list = $("parts");
  list.hidden = text.length === 0;
  if (list.dataset.text === text.join("\n")) return;
  list.dataset.text = text.join("\n");
  list.replaceChildren(...text.map(t => el("li", {}, t)));
}

function drawSpark() {
  const top = Math.max(1, ...rates) * 1.15, n = Math.max(rates.length - 1, 1);
  const points = rates.map((v, i) => `${(120 * i / n).toFixed(1)} ${(36 - 36 * v / top).toFixed(1)}`);
  if (points.length === 1) points.push("120 " + points[0].split(" ")[1]);
  const line = "M" + points.join("L");
  $("spark").querySelector(".line").setAttribute("d", line);
  $("spark").querySelector(".area").setAttribute("d", line + "L120 36L0 36Z");
}

// The breakdown is smoothed here: single frames jump about.
const STAGES = ["wait", "detect", "align", "predict", "track", "signal"];
const smooth = {};
function drawLatency(ms) {
  if (!ms.total) return;
  for (const k in ms) smooth[k] = k in smooth ? smooth[k] + .2 * (ms[k] - smooth[k]) : ms[k];
  if (!$("stack").children.length) {
    const mark = i => { const e = el("i"); e.style.background = `var(--s${i})`; return e; };
    $("stack").append(...STAGES.map((s, i) => mark(i)));
    $("legend").append(...STAGES.map((s, i) => el("div", {}, el("dt", {}, mark(i), s), el("dd"))));
  }
  say($("total"), smooth.total.toFixed(1) + " ms");
  STAGES.forEach((k, i) => {
    $("stack").children[i].style.flexGrow = smooth[k].toFixed(2);
    say($("legend").children[i].lastChild, smooth[k].toFixed(1) + " ms");
  });
}

// ---- pins ------------------------------------------------------------------------

function drawHeader() {
  const cells = [];
  for (let i = 0; i + 1 < info.header.length; i += 2) {
    const [a, b] = [info.header[i], info.header[i + 1]];
    cells.push(el("span", {class: "l", id: "label" + a.number}, a.name), el("b", {class: a.kind + (a.number === 1 ? " one" : ""), id: "pin" + a.number}),
      el("b", {class: b.kind, id: "pin" + b.number}), el("span", {id: "label" + b.number}, b.name));
  }
  $("header").replaceChildren(...cells);
}

function drawLines(lines) {
  const body = $("lines").tBodies[0];
  const key = lines.map(l => [l.line, l.pin, l.number].join("/")).join();
  if (body.dataset.key !== key) {
    body.dataset.key = key;
    body.replaceChildren(...lines.map(l => el("tr", {}, el("th", {scope: "row"}, l.line),
      el("td", {}, ...(l.number ? ["" + l.number, el("small", {}, l.pin)] : [l.pin])), el("td", {}, el("span", {class: "level"})))));
    drawHeader();
    for (const l of lines) {
      const label = $("label" + l.number);
      if (!label) continue;
      label.textContent = l.line;
      label.classList.add("used");
      $("pin" + l.number).classList.add("used");
    }
    $("no-lines").hidden = lines.length > 0;
    $("lines").hidden = lines.length === 0;
  }
  lines.forEach((l, i) => drawLine(l, body.rows[i]));
  const on = lines.filter(l => l.active).length;
  say($("pin-count"), lines.length ? `${on} of ${lines.length} active` : "");
}

let pins = new Map(); // line -> [row, pin]
function drawLine(l, row) {
  const level = row.cells[2].firstChild;
  pins.set(l.line, [row, l]);
  level.classList.toggle("on", l.active);
  say(level, l.active ? "active" : "idle");
  level.title = "the wire is " + (l.level ? "high" : "low");
  for (const id of ["pin", "label"]) { const e = $(id + l.number); if (e) e.classList.toggle("on", l.active); }
}

// ---- lately ------------------------------------------------------------------------

const told = new Map(); // face id -> last labels
const begun = new Map(); // face id -> when it came into view
function log(when, text) {
  const list = $("log");
  $("no-log").hidden = true;
  const t = new Date(when);
  list.prepend(el("li", {}, el("time", {datetime: when}, t.toTimeString().slice(0, 8)), el("span", {}, text)));
  while (list.children.length > 40) list.lastChild.remove();
}

function onTrack(t) {
  const id = t.face.id;
  if (t.kind === "end") { told.delete(id); begun.delete(id); log(t.time, `Face ${id} left`); return; }
  if (t.kind === "begin") { told.set(id, {}); begun.set(id, Date.parse(t.time)); log(t.time, `Face ${id} came into view`); }
  const before = told.get(id) || {};
  for (const h of enabled()) {
    const head = headOf(t.face, h.name);
    if (!head) continue;
    const now = answer(head);
    if (before[h.name] !== now && !(t.kind === "begin" && head.uncertain)) log(t.time, `Face ${id}: ${h.name} ${now}`);
    before[h.name] = now;
  }
  told.set(id, before);
}

function onLine(t) {
  const known = pins.get(t.line);
  if (known) { Object.assign(known[1], {active: t.active, level: t.level}); drawLine(known[1], known[0]); }
  if (t.line !== "heartbeat" && t.line !== "strobe") log(t.time, `${t.line} ${t.active ? "active" : "idle"}${t.reason ? ": " + t.reason : ""}`);
}

// ---- by the hour --------------------------------------------------------------------

// Counts are fetched when the page opens and every minute after, where any are
// kept. Days are those of who looks.
let past = [];
const dayOf = t => new Date(t).toLocaleDateString("en-CA");
async function fetchPast() {
  if (!info.history_days) { $("past").hidden = true; return; }
  const r = await fetch("v1/history").catch(() => null);
  if (!r || !r.ok) return;
  past = (await r.json()).hours;
  const days = [...new Set([...past.map(h => dayOf(h.hour)), dayOf(Date.now())])].sort().reverse();
  const pick = $("past-day"), chosen = pick.value;
  if (pick.dataset.days !== days.join()) {
    pick.dataset.days = days.join();
    pick.replaceChildren(...days.map(d => el("option", {value: d}, d === dayOf(Date.now()) ? "today" : d)));
    if (days.includes(chosen)) pick.value = chosen;
  }
  $("past").hidden = false;
  drawPast();
}
function drawPast() {
  const hours = Array.from({length: 24}, () => ({faces: 0}));
  const sums = {};
  let total = 0;
  for (const h of past) if (dayOf(h.hour) === $("past-day").value) {
    hours[new Date(h.hour).getHours()].faces += h.faces;
    total += h.faces;
    for (const [label, n] of Object.entries(h.answers)) sums[label] = (sums[label] || 0) + n;
  }
  const top = Math.max(1, ...hours.map(h => h.faces));
  $("past-bars").replaceChildren(...hours.map((h, i) => svg("rect", {x: i * 10 + 1, width: 8, y: 60 - 58 * h.faces / top, height: Math.max(.6, 58 * h.faces / top), rx: 1.5})));
  say($("past-sum"), total === 0 ? "Nobody was counted." : `${total} ${total === 1 ? "face" : "faces"}, ${top} in the busiest hour. Somebody who comes twice counts twice.`);
  $("past-legend").replaceChildren(...Object.entries(sums).sort((a, b) => b[1] - a[1]).map(([label, n]) => {
    const mark = el("i");
    mark.style.background = tone(label);
    return el("div", {}, el("dt", {}, mark, label), el("dd", {}, "" + n));
  }));
  $("past-table").tBodies[0].replaceChildren(...hours.flatMap((h, i) => h.faces ? [el("tr", {}, el("th", {scope: "row"}, i + ":00"), el("td", {}, "" + h.faces))] : []));
}
$("past-day").addEventListener("change", drawPast);
setInterval(fetchPast, 60000);

// ---- spoken words ---------------------------------------------------------------------

// A screen reader hears a summary when it has changed, at most every 5 s.
let spokenAt = 0, spoken = "";
function announce(r) {
  const [first] = splitHeads();
  const text = r.faces.length === 0 ? STATES[state][1] :
    r.faces.map(f => `Face ${f.id}${first && headOf(f, first.name) ? " " + answer(headOf(f, first.name)) : ""}`).join(", ");
  const now = performance.now();
  if (text === spoken || now - spokenAt < 5000) return;
  spoken = text;
  spokenAt = now;
  say($("spoken"), text);
}

// ---- the stream ----------------------------------------------------------------------

function span(s) {
  s = Math.max(0, Math.floor(s));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

function onInfo(i) {
  if (JSON.stringify(i) === JSON.stringify(info)) return;
  info = i;
  document.title = i.name ? i.name + " · mien" : "mien";
  say($("device"), i.name);
  const list = on => i.heads.filter(h => h.enabled === on).map(h => h.name).join(", ");
  $("heads").replaceChildren("Read from faces: ", el("strong", {}, list(true) || "nothing"), list(false) ? ". Switched off: " : ".", el("strong", {}, list(false)), list(false) ? "." : "");
  about();
  fetchPast();
  for (const [id, p] of people) { p.card.remove(); people.delete(id); }
  drawHeader();
  delete $("lines").tBodies[0].dataset.key;
}

function about() {
  $("system").hidden = !info.system;
  say($("system-note"), info.system);
  say($("about"), [("mien " + info.version).trim(), info.board, model].filter(x => x).join(" · "));
}

let source;
function connect() {
  if (source) source.close();
  $("log").replaceChildren(); // a new stream tells the past again; one that reconnects by itself does not
  told.clear();
  begun.clear();
  source = new EventSource("v1/events");
  const on = (kind, f) => source.addEventListener(kind, e => { lastNews = performance.now(); f(JSON.parse(e.data)); });
  on("info", onInfo); on("status", onStatus); on("reading", onReading); on("track", onTrack); on("transition", onLine); on("state", onState); on("lost", () => {});
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) check(); };
}

// check finds out why the stream was refused: a token is wanted, or the
// device is gone. An event stream does not say.
async function check() {
  let code = 0;
  try {
    const r = await fetch("v1/info");
    code = r.status;
    if (code === 403 && (await r.json()).error === "unclaimed") { location.replace("settings"); return; }
  } catch { /* not reachable */ }
  if (code === 401) { askToken(); return; }
  setTimeout(connect, 2000);
}

const askToken = loginOf("device", connect);
$("consent-button").addEventListener("click", () => fetch("v1/consent", {method: "PUT", headers: {"Content-Type": "application/json"},
  body: JSON.stringify({given: $("consent-button").dataset.given === "true"})}));

setInterval(() => { if (lastNews && performance.now() - lastNews > 4000) showState("lost", ""); }, 1000);

connect();
