// What the page asks of the API. Every function throws when there is no usable answer in time.

const PATIENCE_MS = 4000;
const MOST_SYMBOLS = 100; // per request, as POST /v1/forecasts allows
const AT_ONCE = 6;

async function json(path, options = {}) {
  const answer = await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

export async function fetchSymbols() {
  return (await json("/v1/symbols")).symbols;
}

// Forecasts by symbol, and the first problem of each symbol that has one.
export async function fetchForecasts(names) {
  const forecasts = new Map();
  const problems = new Map();
  for (let start = 0; start < names.length; start += MOST_SYMBOLS) {
    const answer = await json("/v1/forecasts", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ symbols: names.slice(start, start + MOST_SYMBOLS) }),
    });
    for (const each of answer.forecasts) {
      if (!forecasts.has(each.symbol)) forecasts.set(each.symbol, []);
      forecasts.get(each.symbol).push(each);
    }
    for (const each of answer.problems) if (!problems.has(each.symbol)) problems.set(each.symbol, each);
  }
  return { forecasts, problems };
}

// Scores of each symbol that can tell them, under "model horizon".
export async function fetchScores(names) {
  const scores = new Map();
  const waiting = [...names];
  async function work() {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      try {
        const answer = await json(`/v1/scores/${encodeURIComponent(name)}`);
        scores.set(name, new Map(answer.scores.map((each) => [`${each.model} ${each.horizon}`, each])));
      } catch {
        // This symbol keeps the scores that it had.
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return scores;
}
