// Parallel coordinates: a line for each result, over the choices that mattered most and the
// objectives. Shows what the filter of the table leaves.

const AXES = 10, LINES = 600, HEIGHT = 340, ABOVE = 46, BELOW = 18, SIDE = 62, TICK = 14;

const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}\u2026` : text);

const FOOT = 0.14; // of an axis, below its values, for results whose model does not ask the choice

// An axis of a choice; results that were not asked it have a place of their own at its foot.
function choiceAxis(choice, i) {
  const axis = valueAxis(choice, i);
  if (!trials.some((trial) => trial.compared && trial.values[i] < 0)) return axis;
  const up = (part) => (part === null ? 0 : FOOT + (1 - FOOT) * part);
  return { name: axis.name, place: (trial) => up(axis.place(trial)),
    ticks: [[0, "not chosen"], ...axis.ticks.map(([part, text]) => [up(part), text])] };
}

function valueAxis(choice, i) {
  const isAsked = (trial) => trial.values[i] >= 0;
  const seen = choice.values.length;
  if (choice.numeric && seen > 8) {
    return numberAxis(choice.label, (trial) => (isAsked(trial) ? Number(valueText(trial, i)) : null),
      (value) => String(Number(value.toPrecision(3))), choice.log === true);
  }
  const order = choice.values.map((text, place) => ({ text, place }));
  const listed = new Map((choice.candidates ?? []).map((text, n) => [text, n]));
  if (choice.numeric) order.sort((a, b) => Number(a.text) - Number(b.text));
  else order.sort((a, b) => (listed.get(a.text) ?? 0) - (listed.get(b.text) ?? 0));
  const places = new Map(order.map(({ place }, position) => [place, seen > 1 ? position / (seen - 1) : 0.5]));
  const step = Math.ceil(seen / 12);
  return { name: choice.label, place: (trial) => places.get(trial.values[i]) ?? null,
    ticks: order.filter((_, n) => n % step === 0).map(({ text, place }) => [places.get(place), text]) };
}

function numberAxis(name, value, text, log) {
  const turned = (x) => (log ? Math.log(x) : x);
  const all = trials.filter((trial) => trial.compared).map(value).filter((x) => typeof x === "number");
  const low = Math.min(...all), high = Math.max(...all);
  const span = turned(high) - turned(low);
  const part = (x) => (span ? (turned(x) - turned(low)) / span : 0.5); // a single value: the middle
  const inner = [0, 0.25, 0.5, 0.75, 1].map((along) => turned(low) + along * span);
  const exact = inner.map((x) => (log ? Math.exp(x) : x));
  const round = all.every(Number.isInteger) ? exact.map(Math.round) : exact;
  return { name,
    place: (trial) => {
      const x = value(trial);
      return typeof x === "number" ? part(x) : null;
    },
    ticks: (span ? [...new Set(round)] : all.slice(0, 1)).map((x) => [part(x), text(x)]) };
}

function chosenAxes() {
  const results = trials.filter((trial) => trial.compared);
  const told = data.choices.map((choice, i) => ({ choice, i, count: new Set(results.map((trial) => trial.values[i])).size }));
  const differing = told.filter(({ count }) => count > 1);
  const varied = differing.length ? differing : told.filter(({ i }) => results[0].values[i] >= 0);
  const weight = ({ i }) => data.importance[i] ?? 0;
  const most = [...varied].sort((a, b) => weight(b) - weight(a)).slice(0, AXES);
  const kept = varied.filter((one) => most.includes(one));
  return [
    ...kept.map(({ choice, i }) => choiceAxis(choice, i)),
    ...data.objectives.map(({ metric }) => numberAxis(data.metrics[metric],
      (trial) => trial.metrics[metric], (value) => figure(data.metrics[metric], value), false)),
  ];
}

function drawLines(shown, axes) {
  const results = shown.filter((trial) => trial.compared);
  const { metric, mode } = data.objectives[0];
  const sign = mode === "max" ? 1 : -1;
  const ordered = [...results].sort((a, b) => sign * (a.metrics[metric] - b.metrics[metric]));
  const step = Math.max(ordered.length / LINES, 1);
  const kept = ordered.filter((_, i) => i >= ordered.length - 100 || Math.floor(i / step) !== Math.floor((i - 1) / step));
  const place = document.getElementById("parallel-lines");
  const width = Math.max(SIDE * 2 + (axes.length - 1) * 104, place.clientWidth - 4);
  const x = (i) => SIDE + (axes.length > 1 ? (i * (width - 2 * SIDE)) / (axes.length - 1) : 0);
  const y = (part) => HEIGHT - BELOW - part * (HEIGHT - ABOVE - BELOW);
  const lines = kept.map((trial, i) => {
    const points = axes.map((axis, n) => [n, axis.place(trial)]).filter(([, place]) => place !== null);
    const level = Math.ceil(((i + 1) / kept.length) * 5) - 1;
    const across = points.length > 1 ? points.map(([n, place]) => [x(n), place])
      : points.flatMap(([n, place]) => [[x(n) - 12, place], [x(n) + 12, place]]);
    const isChosen = trial === chosen ? " chosen" : "";
    return drawn("polyline", { class: `q${level}${isChosen}`, "data-trial": trial.number,
      points: across.map(([at, place]) => `${at.toFixed(1)},${y(place).toFixed(1)}`).join(" ") });
  });
  const scales = axes.flatMap((axis, n) => [
    drawn("line", { x1: x(n), x2: x(n), y1: y(0), y2: y(1) }),
    drawn("text", { class: "name", x: n ? x(n) : Math.max(x(n), 3.4 * Math.min(axis.name.length, 24)),
      y: n % 2 ? 14 : 30, "text-anchor": "middle" }, cut(axis.name, 24), drawn("title", {}, axis.name)),
    ...axis.ticks.map(([part, text]) => drawn("text", { x: x(n) + 5, y: y(part) + 4 }, cut(text, TICK), drawn("title", {}, text))),
  ]);
  place.replaceChildren(drawn("svg", { class: "lines", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`,
    role: "img", "aria-label": "parallel coordinates" }, drawn("g", {}, ...lines), drawn("g", {}, ...scales)));
  const of = kept.length < results.length ? `${kept.length} of ` : "";
  const few = `${of}${results.length} ${results.length === 1 ? "result" : "results"}`;
  document.getElementById("parallel-count").textContent = few;
}

{
  const place = document.getElementById("parallel-lines");
  if (place && data.objectives.length && trials.some((trial) => trial.compared)) {
    const axes = chosenAxes();
    const redraw = () => drawLines(found.trials, axes);
    found.listeners.push(redraw);
    addEventListener("resize", redraw);
    onChoose((trial) => {
      if (!place.firstChild) redraw();
      for (const line of place.querySelectorAll("polyline")) {
        line.classList.toggle("chosen", Number(line.dataset.trial) === trial.number);
      }
    });
  }
}
