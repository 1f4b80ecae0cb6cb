// Draws the charts of a report, lets tables be sorted, follows the theme. Plotly is in the page before this.
"use strict";

(() => {
  const CONFIG = { displaylogo: false, responsive: true, showSendToCloud: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 40rem)");
  const charts = new Map();

  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;

  function isPacked(value) {
    return value !== null && typeof value === "object" && ("f32" in value || "u32" in value);
  }

  function unpacked(value) {
    if ("f32" in value) return Array.from(new Float32Array(bytes(value.f32)), (one) => (Number.isFinite(one) ? one : null));
    return Array.from(new Uint32Array(bytes(value.u32)), (one) => value.start + one * value.unit);
  }

  function colour(text) {
    const [name, opacity] = text.slice(1).split("/");
    const variable = /^\d$/.test(name) ? `--series-${name}` : `--${name}`;
    const hex = getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
    if (opacity === undefined) return hex;
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${r},${g},${b},${opacity})`;
  }

  // A copy with numbers unpacked and the names of colours made colours of the theme.
  function prepared(value) {
    if (typeof value === "string") return /^@[a-z0-9]+(\/[0-9.]+)?$/.test(value) ? colour(value) : value;
    if (isPacked(value)) return unpacked(value);
    if (Array.isArray(value)) return value.map(prepared);
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, prepared(one)]));
    }
    return value;
  }

  function merged(below, above) {
    const made = { ...below };
    for (const [key, value] of Object.entries(above)) {
      const both = [made[key], value].every((one) => one !== null && typeof one === "object" && !Array.isArray(one));
      made[key] = both ? merged(made[key], value) : value;
    }
    return made;
  }

  function layoutOf(chart, view) {
    const axis = {
      gridcolor: "@line", linecolor: "@line", zerolinecolor: "@line", zerolinewidth: 1,
      tickfont: { size: 11 }, title: { font: { size: 12 }, standoff: 8 }, automargin: true,
    };
    const base = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: 12, color: "@text" },
      margin: { l: narrow.matches ? 44 : 60, r: narrow.matches ? 8 : 18, t: 34, b: 42 },
      hovermode: "x unified",
      hoverlabel: { bgcolor: "@raised", bordercolor: "@line", font: { color: "@text" } },
      legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "@quiet", activecolor: "@text" },
      bargap: 0.15,
    };
    const given = merged(chart.data.layout, view.layout);
    const made = merged(base, given);
    for (const key of Object.keys(made)) if (/^[xy]axis\d*$/.test(key)) made[key] = merged(axis, made[key]);
    for (const key of ["xaxis", "yaxis"]) if (!(key in made)) made[key] = axis;
    return prepared(made);
  }

  function draw(chart) {
    const view = chart.data.views[chart.view];
    Plotly.react(chart.place, prepared(view.traces), layoutOf(chart, view), CONFIG);
    chart.isDrawn = true;
  }

  function show(chart, label) {
    const at = chart.data.views.findIndex((view) => view.label === label);
    if (at < 0 || at === chart.view) return;
    chart.view = at;
    chart.words.textContent = chart.data.views[at].text;
    if (chart.isDrawn) draw(chart);
  }

  function drawAll(only) {
    for (const chart of charts.values()) if (chart.isDrawn || !only) draw(chart);
  }

  function sortBy(table, button) {
    const head = button.closest("th");
    const place = [...head.parentNode.children].indexOf(head);
    const isNumber = head.classList.contains("number");
    const order = head.getAttribute("aria-sort");
    const next = order ? (order === "ascending" ? "descending" : "ascending") : isNumber ? "descending" : "ascending";
    for (const one of head.parentNode.children) one.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", next);
    const keyOf = (row) => {
      const cell = row.children[place];
      const key = cell.dataset.key;
      if (key === "") return null;
      return key === undefined ? cell.textContent.trim() : Number(key);
    };
    const compare = (a, b) => {
      if (a === null || b === null) return (a === null) - (b === null); // what is unknown stays last
      const least = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
      return next === "ascending" ? least : -least;
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort((one, other) => compare(keyOf(one), keyOf(other))));
  }

  for (const figure of document.querySelectorAll("figure[data-chart]")) {
    charts.set(figure.id, {
      place: figure.querySelector(".chart"),
      words: figure.querySelector("figcaption"),
      data: JSON.parse(figure.querySelector("script").textContent),
      view: 0,
      isDrawn: false,
    });
  }
  for (const select of document.querySelectorAll("select[data-charts]")) {
    const follow = () => select.dataset.charts.split(" ").forEach((name) => show(charts.get(name), select.value));
    select.addEventListener("change", follow);
    follow(); // browsers remember what was chosen
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) sortBy(table, button);
    });
  }

  // `report.html#only=<figure>` shows one chart alone: how images are made.
  const only = /^#only=([\w-]+)$/.exec(location.hash);
  if (only && charts.has(only[1])) {
    document.body.replaceChildren(document.getElementById(only[1]));
    charts.get(only[1]).place.style.height = `${innerHeight - 130}px`;
    CONFIG.displayModeBar = false;
    draw(charts.get(only[1]));
    return;
  }
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      draw(charts.get(entry.target.id));
    }
  }, { rootMargin: "400px" });
  for (const name of charts.keys()) seen.observe(document.getElementById(name));
  dark.addEventListener("change", () => drawAll(true));
  narrow.addEventListener("change", () => drawAll(true));
  addEventListener("beforeprint", () => drawAll(false));
})();
