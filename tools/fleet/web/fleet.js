// The fleet's page. It draws what the hub's API says, and asks again every few
// seconds while somebody looks.
"use strict";

const PAGE = 50, EVERY = 5000;
const BAD = ["silent", "copied", "state", "nonsense"]; // the kinds of trouble that make a board red
const percent = p => p === null || p === undefined ? "–" : Math.round(p * 100) + " %";
const many = (n, what) => n.toLocaleString("en") + " " + what + (n === 1 ? "" : "s");

// span is a length of time, in seconds, in words.
function span(s) {
  if (s < 90) return Math.round(s) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  if (s < 129600) return Math.round(s / 3600) + " h";
  return Math.round(s / 86400) + " days";
}
// ago is how long ago it was, by the hub's clock.
let ahead = 0; // this clock, in milliseconds
const ago = t => span(Math.max(0, Date.now() - ahead - Date.parse(t)) / 1000);
function bytes(n) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) { if (n < 1024 || unit === "GiB") return (n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)) + " " + unit; n /= 1024; }
}

// ask returns what the hub answers, or throws an error with a status; 0 when it
// does not answer.
async function ask(path) {
  const r = await fetch(path).catch(() => null);
  if (!r) throw Object.assign(new Error("The hub does not answer."), {status: 0});
  const answer = await r.json().catch(() => ({}));
  if (!r.ok) throw Object.assign(new Error(answer.detail || "The hub refuses (" + r.status + ")."), {status: r.status});
  return answer;
}

// ---- the whole -----------------------------------------------------------------

function drawOverview(o) {
  ahead = Date.now() - Date.parse(o.time);
  const state = $("state");
  state.dataset.state = o.troubled ? "fault" : "reading";
  say($("state-text"), many(o.boards, "board") + (o.troubled ? ", " + o.troubled.toLocaleString("en") + " with trouble" : o.boards ? ", all well" : ""));
  say($("site-count"), o.sites.length.toLocaleString("en"));
  groups("sites", o.sites, o.boards, site => pick("site", site));
  groups("versions", o.versions, o.boards, v => { $("find").value = v; again(); });
  groups("models", o.models, o.boards, v => { $("find").value = v; again(); });
  options("site", o.sites);
  options("trouble", o.troubles);
  drawKept(o.stores);
  drawRollouts(o.rollouts);
}

// drawRollouts shows how far the newest roll-outs are: the meter is of boards that have
// proven it, or run again what was before.
function drawRollouts(list) {
  $("rollouts-card").hidden = !list.length;
  $("rollouts").replaceChildren(...list.map(r => {
    const p = r.progress, bar = el("i"), back = r.state === "leaving" || r.state === "halted";
    bar.style.width = (100 * (back ? p.left / Math.max(p.offered, 1) : p.proven / Math.max(r.boards, 1))).toFixed(1) + "%";
    const counts = [back ? many(p.left, "board") + " as before" : many(p.proven, "board") + " of " + r.boards.toLocaleString("en") + " proven",
      ...(p.failed ? [p.failed.toLocaleString("en") + " failed"] : []), ...(p.away ? [p.away.toLocaleString("en") + " away"] : []),
      ...(p.pending ? [p.pending.toLocaleString("en") + " pending"] : [])].join(", ");
    const stage = r.state === "running" ? `stage ${r.stage} of ${r.stages}; ` : "";
    return el("li", {class: back ? "full" : ""}, el("strong", {}, r.name), el("span", {}, r.state),
      el("div", {class: "meter", "aria-hidden": "true"}, bar), el("small", {}, `${stage}${counts}; begun ${ago(r.begun)} ago${r.why ? ": " + r.why : ""}`));
  }));
}

// groups draws how many boards have what in common; a press looks at those.
function groups(id, list, all, press) {
  const key = JSON.stringify(list) + all;
  if ($(id).dataset.key === key) return;
  $(id).dataset.key = key;
  $(id).replaceChildren(...list.slice(0, 200).map(g => {
    const bar = el("i"), name = el("button", {class: "link", type: "button"}, g.name || "none said");
    bar.style.width = (100 * g.boards / Math.max(all, 1)).toFixed(1) + "%";
    name.addEventListener("click", () => press(g.name));
    return el("div", {}, el("dt", {}, name),
      el("dd", {}, g.boards.toLocaleString("en"), ...(g.troubled ? [" · ", el("strong", {}, g.troubled.toLocaleString("en") + " with trouble")] : [])),
      el("div", {class: "meter", "aria-hidden": "true"}, bar));
  }));
}

function options(id, list) {
  const names = list.map(g => g.name).sort(), box = $(id), chosen = box.value;
  if (chosen && !names.includes(chosen)) names.push(chosen);
  if (box.dataset.key === names.join("\n")) return;
  box.dataset.key = names.join("\n");
  box.replaceChildren(box.options[0], ...names.map(n => el("option", {value: n}, n)));
  box.value = chosen;
}
function pick(id, value) { $(id).value = value; again(); }

function drawKept(stores) {
  const short = stores.filter(s => s.short);
  $("short").hidden = !short.length;
  say($("short"), short.map(s => `${s.name} is full: what is older than ${ago(s.oldest)} goes, before its time. Give the hub more disk (--disk).`).join(" "));
  $("kept").replaceChildren(...stores.map(s => {
    const bar = el("i");
    bar.style.width = Math.min(100, 100 * s.bytes / Math.max(s.bound, 1)).toFixed(1) + "%";
    const age = s.age_ns ? span(s.age_ns / 1e9) + " at most" : "no bound of age";
    const oldest = s.oldest && s.messages ? ", the oldest " + ago(s.oldest) + " old" : "";
    return el("li", {class: s.short ? "full" : ""}, el("strong", {}, s.name), el("span", {}, bytes(s.bytes) + " of " + bytes(s.bound)),
      el("div", {class: "meter", "aria-hidden": "true"}, bar), el("small", {}, `${s.about}; ${age}${oldest}`));
  }));
}

// ---- boards ---------------------------------------------------------------------

const rows = new Map(); // by site/board
function drawBoards(l) {
  say($("count"), l.matching.toLocaleString("en") + " shown");
  const seen = new Set();
  l.boards.forEach((b, i) => {
    const id = b.site + "/" + b.board;
    seen.add(id);
    let row = rows.get(id);
    if (!row) rows.set(id, row = newRow(b));
    drawRow(row, b);
    if ($("rows").children[i] !== row.item) $("rows").insertBefore(row.item, $("rows").children[i] || null);
  });
  for (const [id, row] of rows) if (!seen.has(id)) { row.item.remove(); rows.delete(id); }
  $("none").hidden = l.boards.length > 0;
  say($("none"), l.matching ? "No more boards." : asked() ? "No board is so." : "No board is enrolled: mien fleet enrol SITE/BOARD makes credentials for one.");
  $("pages").hidden = l.matching <= PAGE;
  say($("range"), `${from + 1} to ${from + l.boards.length} of ${l.matching.toLocaleString("en")}`);
  $("back").disabled = from === 0;
  $("on").disabled = from + PAGE >= l.matching;
}
const asked = () => $("find").value || $("site").value || $("trouble").value;

function newRow(b) {
  const cell = name => { const text = el("span"); return {box: el("span", {class: "cell"}, el("b", {}, name), text), text}; };
  const cells = {state: cell("State"), version: cell("Version"), queue: cell("Waiting"), face: cell("With face"), uncertain: cell("Uncertain"), drift: cell("Drift")};
  const why = el("span", {class: "why"}), more = el("div", {class: "more"});
  const open = el("details", {}, el("summary", {class: "cells"}, el("span", {class: "called"}, el("span", {class: "dot", "aria-hidden": "true"}),
    el("span", {}, el("small", {}, b.site + "/"), b.board)), ...Object.values(cells).map(c => c.box), why), more);
  const row = {item: el("li", {}, open), open, cells, why, more, path: "v1/boards/" + encodeURIComponent(b.site) + "/" + encodeURIComponent(b.board)};
  open.addEventListener("toggle", () => drawMore(row));
  return row;
}

function drawRow(row, b) {
  const h = b.health, t = b.troubles, far = b.drift[0];
  row.item.className = t.length === 0 ? "" : BAD.includes(t[0].kind) ? "bad" : "poor";
  const texts = {state: b.state, version: h ? h.version : "–", queue: h ? h.queued.toLocaleString("en") : "–", face: percent(b.rates.with_face),
    uncertain: percent(b.rates.uncertain), drift: far ? far.distance.toFixed(2) : "–"};
  for (const k in texts) say(row.cells[k].text, texts[k]);
  row.cells.drift.box.classList.toggle("over", !!far && far.distance > far.bound);
  row.why.hidden = t.length === 0;
  say(row.why, t.map(x => x.text).join(" · "));
  if (row.open.open) drawMore(row);
}

// drawMore fills what is under a row, while it is open.
async function drawMore(row) {
  if (!row.open.open) return;
  let b;
  try { b = await ask(row.path); } catch { return; } // the list says so
  const h = b.health;
  const fact = (name, text) => el("div", {}, el("dt", {}, name), el("dd", {}, text));
  if (!h) { row.more.replaceChildren(el("p", {class: "none"}, "It has credentials and has not come yet.")); return; }
  row.more.replaceChildren(
    el("dl", {class: "facts"}, fact("Heard of", ago(b.seen) + " ago"), fact("Running for", h.started ? ago(h.started) : "–"),
      fact("Is a", h.board || "–"), fact("Model", h.model || "–"), fact("Engine", h.engine || "–"), fact("Frames a second", h.fps.toFixed(1)),
      fact("Temperature", h.celsius ? h.celsius.toFixed(0) + " °C" : "–"), fact("Tags", (h.tags || []).join(", ") || "none"),
      fact("Faces in an hour", b.hour ? b.hour.begun.toLocaleString("en") : "–"), fact("Lost", h.lost.toLocaleString("en"))),
    ...(b.troubles.length ? [el("ul", {}, ...b.troubles.map(t => el("li", {}, t.text)))] : []),
    ...b.drift.map(drawDrift));
}

function drawDrift(d) {
  return el("table", {class: "shares"},
    el("caption", {}, el("strong", {}, d.head), ` ${d.distance.toFixed(2)} from the median of ${d.group} boards; with ${d.faces.toLocaleString("en")} faces chance reaches ${d.bound.toFixed(2)}`),
    el("thead", {class: "hidden"}, el("tr", {}, ...["Label", "", "Board", "Group"].map(x => el("th", {scope: "col"}, x)))),
    el("tbody", {}, ...Object.entries(d.shares).map(([label, s]) => {
      const [own, group] = [el("i"), el("i")];
      own.style.width = 100 * s.board + "%";
      group.style.width = 100 * s.group + "%";
      return el("tr", {}, el("th", {scope: "row"}, label), el("td", {class: "bars2", "aria-hidden": "true"}, own, group), el("td", {}, percent(s.board)), el("td", {}, "group " + percent(s.group)));
    })));
}

// ---- asking ----------------------------------------------------------------------

let from = 0, timer = 0, turn = 0;
const wanted = () => "v1/boards?" + new URLSearchParams({find: $("find").value, site: $("site").value, trouble: $("trouble").value, order: $("order").value, from, most: PAGE});

// draw asks for all that is shown. What an earlier question is answered late is not
// drawn over a newer one.
async function draw() {
  clearTimeout(timer);
  const mine = ++turn;
  try {
    const [o, l] = await Promise.all([ask("v1/fleet"), ask(wanted())]);
    if (mine !== turn) return;
    $("fault").hidden = true;
    document.body.classList.remove("lost");
    drawOverview(o);
    drawBoards(l);
  } catch (e) {
    if (mine !== turn) return;
    if (e.status === 401) { askToken(); return; }
    $("fault").hidden = false;
    say($("fault"), e.message);
    document.body.classList.add("lost");
    $("state").dataset.state = "lost";
    say($("state-text"), "No answer");
  }
  if (!document.hidden) timer = setTimeout(draw, EVERY);
}
// again begins at the first board, for another question.
function again() { from = 0; draw(); }

let typing = 0;
$("find").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(again, 200); });
for (const id of ["site", "trouble", "order"]) $(id).addEventListener("change", again);
$("tools").addEventListener("submit", e => { e.preventDefault(); again(); });
$("back").addEventListener("click", () => { from = Math.max(0, from - PAGE); draw(); });
$("on").addEventListener("click", () => { from += PAGE; draw(); });
document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else draw(); });

const askToken = loginOf("hub", draw);

draw();
