// The table of forecasts: one group of rows per symbol, one row per horizon. Cells are only written when
// their text changes, so that selections and screen readers are left in peace.

import { basisPoints, count, percent, percentRange, price, priceDigits, seconds } from "./format.js";

const HORIZON_CELLS = [
  ["horizon", "Horizon"],
  ["forecast", "Forecast"],
  ["change", "Change"],
  ["interval", "Interval"],
  ["p-up", "P(up)"],
  ["skill", "R² vs naive"],
  ["covered", "Covered"],
  ["scored", "Scored"],
];
const WAITING = new Set(["starting", "recovering", "not warm"]);

export class ForecastTable {
  constructor(table) {
    this.table = table;
    this.groups = new Map();
  }

  // `entries` are the watched symbols; `scores` may be of an earlier time than the forecasts.
  show(entries, forecasts, problems, scores) {
    const names = entries.map((entry) => entry.symbol);
    for (const [name, group] of this.groups) {
      if (!names.includes(name)) {
        group.body.remove();
        this.groups.delete(name);
      }
    }
    entries.forEach((entry, index) => {
      const name = entry.symbol;
      const rows = forecasts.get(name) ?? [];
      const group = this.groupOf(name, rows.map((row) => row.horizon).join(" "), rows.length);
      if (this.table.tBodies[index] !== group.body) {
        this.table.insertBefore(group.body, this.table.tBodies[index] ?? null);
      }
      fillSymbol(group, entry, rows, problems.get(name));
      rows.forEach((row, i) => fillHorizon(group.rows[i], row, scores.get(name)));
    });
  }

  groupOf(name, shape, horizons) {
    let group = this.groups.get(name);
    if (group?.shape !== shape) {
      const made = makeGroup(name, shape, horizons);
      if (group) group.body.replaceWith(made.body);
      this.groups.set(name, made);
      group = made;
    }
    return group;
  }
}

function makeGroup(name, shape, horizons) {
  const body = element("tbody", "rowgroup");
  const rows = [];
  const height = Math.max(horizons, 1);
  const group = { body, rows, shape };
  for (let i = 0; i < height; i += 1) {
    const row = element("tr", "row");
    if (i === 0) {
      const head = element("th", "rowheader");
      head.scope = "rowgroup";
      head.rowSpan = height;
      head.textContent = name;
      group.price = cell("price number", height);
      group.state = cell("state", height);
      group.age = cell("age number", height, "Age");
      row.append(head, group.price, group.state, group.age);
    }
    const cells = {};
    if (horizons === 0) {
      group.note = cell("note", 1);
      group.note.colSpan = HORIZON_CELLS.length;
      row.append(group.note);
    } else {
      for (const [kind, label] of HORIZON_CELLS) row.append((cells[kind] = cell(`${kind} number`, 1, label)));
    }
    rows.push(cells);
    body.append(row);
  }
  return group;
}

function fillSymbol(group, entry, rows, problem) {
  const first = rows[0];
  const state = stateOf(entry, problem);
  const degraded = [...new Set(rows.flatMap((row) => row.degraded))];
  write(group.price, price(first?.price, priceDigits(first?.price)));
  write(group.state, state, degraded.length > 0 ? `degraded: ${degraded.join(", ")}` : "");
  const tone = state === "live" ? "live" : WAITING.has(state) ? "waiting" : "failed";
  group.state.firstChild.className = `state-${tone}`;
  write(group.age, seconds(first?.age_s));
  if (group.note) write(group.note, problem?.detail || entry.reason || "no forecast yet");
}

// The supervisor's word, unless the actor's own answer is newer.
function stateOf(entry, problem) {
  const kind = problem?.type ?? "";
  if (kind.endsWith("/not-warm")) return "not warm";
  if (kind.endsWith("/recovering") && entry.state === "live") return "recovering";
  return entry.state;
}

function fillHorizon(cells, row, scores) {
  const digits = priceDigits(row.price);
  const score = scores?.get(`${row.model} ${row.horizon}`);
  const track = score?.lifetime ?? {};
  write(cells.horizon, row.horizon);
  write(cells.forecast, price(row.price_forecast, digits));
  const change = basisPoints(row.price, row.price_forecast);
  write(cells.change, change);
  cells.change.classList.toggle("up", change.startsWith("+"));
  cells.change.classList.toggle("down", change.startsWith("−"));
  const interval = `${price(row.lower, digits)} – ${price(row.upper, digits)}`;
  write(cells.interval, interval, `at ${percent(row.coverage, 0)}`);
  write(cells["p-up"], percent(row.p_up, 1));
  write(cells.skill, percent(track.r2, 2), percentRange(track.skill_low, track.skill_high, 2));
  write(cells.covered, percent(track.coverage, 1));
  write(cells.scored, count(score?.count));
}

function cell(className, rowSpan, label) {
  const made = element("td", "cell");
  made.className = className;
  made.rowSpan = rowSpan;
  if (label) made.dataset.label = label;
  const stack = document.createElement("span");
  stack.className = "stack";
  stack.append(document.createElement("span"), document.createElement("small"));
  made.append(stack);
  return made;
}

function element(tag, role) {
  const made = document.createElement(tag);
  made.setAttribute("role", role);
  return made;
}

function write(target, text, small = "") {
  const [main, remark] = target.firstChild.children;
  if (main.textContent !== text) main.textContent = text;
  if (remark.textContent !== small) remark.textContent = small;
}
