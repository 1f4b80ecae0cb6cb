// Keeps the table up to date: forecasts every second, scores every five, nothing while the tab is hidden.

import { fetchForecasts, fetchScores, fetchSymbols } from "./client.js";
import { ForecastTable } from "./table.js";

const FORECASTS_MS = 1000;
const SCORES_MS = 5000;
const SLOWEST_RETRY_MS = 5000;

const table = document.getElementById("forecasts");
const statusLine = document.getElementById("status");
const updatedLine = document.getElementById("updated");
const emptyLine = document.getElementById("empty");
const view = new ForecastTable(table);

let entries = [];
let scores = new Map();
let scoresAt = -Infinity;
let failures = 0;
let timer = 0;
let running = false;

// Only a change is announced: a screen reader must not speak every second.
function say(state, text) {
  if (statusLine.dataset.state === state && statusLine.textContent === text) return;
  statusLine.dataset.state = state;
  statusLine.textContent = text;
}

async function refresh() {
  try {
    entries = await fetchSymbols();
  } catch (error) {
    // The supervisor may be restarting while the symbols go on: keep the list, if there is one.
    if (entries.length === 0) throw error;
  }
  const { forecasts, problems } = await fetchForecasts(entries.map((entry) => entry.symbol));
  view.show(entries, forecasts, problems, scores);
  emptyLine.hidden = entries.length > 0;
  if (performance.now() - scoresAt > SCORES_MS) {
    scoresAt = performance.now();
    // Not waited for: forecasts come every second, however long the scores take.
    fetchScores(entries.map((entry) => entry.symbol)).then((fresh) => {
      scores = new Map([...scores, ...fresh]);
    });
  }
}

async function tick() {
  if (running || document.hidden) return;
  running = true;
  const started = performance.now();
  try {
    await refresh();
    failures = 0;
    say("live", "Live");
    updatedLine.textContent = `updated ${new Date().toLocaleTimeString([], { hourCycle: "h23" })}`;
  } catch {
    failures += 1;
    say("reconnecting", "Reconnecting");
  }
  running = false;
  table.classList.toggle("stale", failures > 0);
  const pause = failures > 0 ? Math.min(FORECASTS_MS * 2 ** (failures - 1), SLOWEST_RETRY_MS) : FORECASTS_MS;
  clearTimeout(timer);
  timer = setTimeout(tick, Math.max(0, pause - (performance.now() - started)));
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (document.hidden) say("paused", "Paused while hidden");
  else tick();
});

tick();
