// The charts with plotly.js, where the page holds it: they replace those drawn in advance once they
// come into view. Loaded only with the library.

// Plotly reads text as a small kind of HTML.
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset" };
const shortened = (text) => plain(text.length > 48 ? `${text.slice(0, 47)}\u2026` : text);

function layout(x, y, more = {}) {
  const axis = (title) => ({ title: { text: shortened(title), font: { color: colour("text"), size: 13 }, standoff: 8 },
    gridcolor: colour("line"), linecolor: colour("dim"), zeroline: false, automargin: true });
  return { margin: { l: 62, r: 14, t: 10, b: 46 }, height: 340, showlegend: false, hovermode: "closest",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: colour("muted"), size: 12 },
    hoverlabel: { bgcolor: colour("card"), bordercolor: colour("dim"), font: { color: colour("text") }, align: "left" },
    xaxis: { ...axis(x), showgrid: false, ...more.x }, yaxis: { ...axis(y), ...more.y } };
}

const note = (trial) => `trial ${trial.number}<br>${facts(trial).map(plain).join("<br>")}`;

function points(shown, x, y, marker) {
  return { type: "scatter", mode: "markers", marker, x: shown.map(x), y: shown.map(y),
    text: shown.map(note), customdata: shown.map((trial) => trial.number), hovertemplate: "%{text}<extra></extra>" };
}

// Of an axis that counts up to a number: it has no ticks between whole numbers.
const whole = (last) => (last < 8 ? { dtick: 1, tick0: 1 } : {});

function bestPlot() {
  const { order, improved, range, places } = CHARTS.best;
  const { metric } = data.objectives[0], name = data.metrics[metric];
  const place = new Map(order.map((number, i) => [number, i + 1]));
  const shown = order.map((number) => byNumber.get(number));
  const x = (trial) => place.get(trial.number), y = (trial) => trial.metrics[metric];
  const steps = improved.map((number) => byNumber.get(number));
  const line = { ...points(steps, x, y, { color: colour("good"), size: 8 }), mode: "lines+markers",
    line: { color: colour("good"), width: 2.5, shape: "hv" } };
  if (steps.length) {
    line.x.push(order.length);
    line.y.push(y(steps.at(-1)));
    line.text.push(note(steps.at(-1)));
    line.customdata.push(steps.at(-1).number);
    line.marker.size = [...steps.map(() => 8), 0];
  }
  const dots = points(shown, x, y, { color: colour("q2"), size: 6, opacity: 0.8 });
  return [[dots, line], layout("results, in the order they ended", name, {
    x: { range: places, ...whole(order.length) }, y: range ? { range } : {} })];
}

function curvePlot() {
  const which = Number(document.getElementById("curve-metric")?.value ?? 0);
  const name = data.curves.metrics[which];
  const top = new Set(data.best.slice(0, 5));
  const numbers = Object.keys(data.curves.trials).map(Number).sort((a, b) => top.has(a) - top.has(b)).slice(-300);
  const values = (number) => data.curves.trials[number][which].map((v) => (typeof v === "number" ? v : null));
  const traces = numbers.map((number) => {
    const curve = values(number), trial = byNumber.get(number), isTop = top.has(number), begin = data.curves.begins[number] ?? 0;
    return { type: "scatter", mode: curve.length > 1 ? "lines" : "markers", x: curve.map((_, i) => begin + i + 1), y: curve,
      line: { color: isTop ? colour("good") : colour("q1"), width: isTop ? 2.4 : 1 }, marker: { color: colour("q1"), size: 4 },
      opacity: isTop ? 1 : 0.8, customdata: curve.map(() => number), name: `trial ${trial.number}`,
      hovertemplate: `trial ${trial.number}<br>epoch %{x}: %{y}<extra></extra>` };
  });
  const last = Math.max(1, ...traces.map(({ x }) => x.at(-1) ?? 1));
  return [traces, layout("reports (epochs)", name, { x: whole(last) })];
}

function frontPlot() {
  const [x, y] = ["front-x", "front-y"].map((id) => Number(document.getElementById(id).value));
  const value = (metric) => (trial) => (typeof trial.metrics[metric] === "number" ? trial.metrics[metric] : null);
  const best = new Set(data.front);
  const shown = trials.filter((trial) => !trial.isRepeat && value(x)(trial) !== null && value(y)(trial) !== null);
  const split = (test) => shown.filter(test);
  const traces = [
    points(split((t) => !best.has(t.number) && !t.compared), value(x), value(y), { color: colour("dim"), size: 7, symbol: "circle-open" }),
    points(split((t) => !best.has(t.number) && t.compared), value(x), value(y), { color: colour("q2"), size: 7, opacity: 0.8 }),
    points(split((t) => best.has(t.number)), value(x), value(y), { color: colour("good"), size: 10, line: { color: colour("card"), width: 1 } }),
  ];
  return [traces, layout(data.metrics[x], data.metrics[y])];
}

const PLOTS = { best: bestPlot, curves: curvePlot, front: frontPlot };
const CHARTS = JSON.parse(document.getElementById("charts").textContent);
const begun = new Set();

function plot(place) {
  const [traces, around] = PLOTS[place.dataset.plot]();
  if (!begun.has(place)) place.replaceChildren();
  Plotly.react(place, traces, around, CONFIG);
  if (!begun.has(place)) place.on("plotly_click", ({ points: [point] }) => choose(point.customdata));
  begun.add(place);
}

// The library is run once the page can be used: it takes longer than all the rest.
function begin() {
  document.body.append(element("script", { textContent: document.getElementById("plotly").textContent }));
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      plot(target);
    }
  }, { rootMargin: "200px" });
  for (const place of document.querySelectorAll("[data-plot]")) seen.observe(place);
  dark.addEventListener("change", () => [...begun].forEach(plot));
  for (const select of document.querySelectorAll("[data-redraws]")) {
    select.closest("label").hidden = false;
    select.addEventListener("change", () => plot(document.querySelector(`[data-plot="${select.dataset.redraws}"]`)));
  }
}

addEventListener("load", () => setTimeout(begin, 50));
