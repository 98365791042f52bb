// The data of the page, how figures are written, and the trial that is chosen.
// Whatever comes from a record becomes text of an element, never HTML.

const data = JSON.parse(document.getElementById("data").textContent);

// A row of a trial, as `facts.py` writes it.
const trials = data.trials.map((row) => {
  const [number, state, reason, text, remark, proposed, seconds, epochs] = row;
  const [metrics, values, compared, seed, deviations, isRepeat] = row.slice(8);
  const failure = reason < 0 ? "" : `${data.texts[reason]}: ${data.texts[text]}`;
  return { number, state, failure, remark, proposed, seconds, epochs, metrics, values,
    compared: compared === 1, seed, deviations, isRepeat: isRepeat === 1 };
});
const byNumber = new Map(trials.map((trial) => [trial.number, trial]));
const ranks = new Map(data.best.map((number, i) => [number, i + 1]));

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") made.className = value;
    else if (name.includes("-") || name === "for" || name === "list") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

function drawn(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Figures as the terminal shows them.

const scaled = (units) => (value) => {
  const [size, unit] = units.find(([least]) => value >= least) ?? units.at(-1);
  return `${Number((value / size).toPrecision(3))}${unit}`;
};
const FORMS = {
  params: scaled([[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]),
  flops: scaled([[1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]]),
  latency: scaled([[1, " s"], [1e-3, " ms"], [1e-6, " us"], [1e-9, " ns"]]),
  memory: scaled([[1e9, " GB"], [1e6, " MB"], [1e3, " kB"], [1, " B"]]),
  size: scaled([[1e9, " GB"], [1e6, " MB"], [1e3, " kB"], [1, " B"]]),
};

function figure(name, value) {
  if (typeof value !== "number") return value ?? "";
  if (FORMS[name] && value > 0) return FORMS[name](value);
  const size = Math.abs(value);
  if (value === 0 || (size >= 0.001 && size < 100)) {
    return Number.isInteger(value) ? String(value) : value.toFixed(4);
  }
  return String(Number(value.toPrecision(4)));
}

// A metric of a trial; of several trainings, their mean and standard deviation.
function figureOf(trial, i) {
  const name = data.metrics[i], shown = figure(name, trial.metrics[i]), spread = trial.deviations[i];
  return typeof spread === "number" ? `${shown} \u00b1${figure(name, spread)}` : shown;
}

function duration(seconds) {
  if (typeof seconds !== "number") return "";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
  const two = (n) => String(n).padStart(2, "0");
  const rest = `${two(minutes % 60)}:${two(whole % 60)}`;
  return minutes < 60 ? `${minutes}:${two(whole % 60)}` : `${Math.floor(minutes / 60)}:${rest}`;
}

const valueText = (trial, i) => (trial.values[i] < 0 ? "" : data.choices[i].values[trial.values[i]]);

function shortValue(trial, i) {
  const text = valueText(trial, i);
  if (!data.choices[i].numeric || text === "" || !/[.e]/.test(text)) return text;
  return String(Number(Number(text).toPrecision(4)));
}

// One line about a trial: what charts show beside the pointer.
function facts(trial) {
  const aims = data.objectives.map(({ metric }) => metric);
  return aims.map((i) => `${data.metrics[i]} ${figureOf(trial, i) || "none"}`);
}

// The chosen trial: whoever shows it listens.

const listeners = [];
let chosen = byNumber.get(data.best[0]) ?? trials[0] ?? null;

function choose(number) {
  const trial = byNumber.get(Number(number));
  if (!trial) return;
  chosen = trial;
  for (const listener of listeners) listener(trial);
}

function onChoose(listener) {
  listeners.push(listener);
  if (chosen) listener(chosen);
}

// Points and lines of charts: a note beside the pointer, and a click chooses their trial.

const tip = document.getElementById("tip");

function showTip(event, trial) {
  const rank = ranks.has(trial.number) ? `, rank ${ranks.get(trial.number)}` : "";
  tip.replaceChildren(element("b", {}, `trial ${trial.number}${rank}`), facts(trial).join(", "));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - width - 8);
  const above = event.clientY - height - 12;
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${above > 4 ? above : event.clientY + 16}px`;
}

document.addEventListener("pointermove", (event) => {
  const mark = event.target.closest?.("[data-trial]");
  const trial = mark && byNumber.get(Number(mark.dataset.trial));
  if (trial && mark.ownerSVGElement) showTip(event, trial);
  else tip.hidden = true;
});
document.addEventListener("click", (event) => {
  const mark = event.target.closest?.("svg [data-trial]");
  if (mark) choose(mark.dataset.trial);
});
document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
