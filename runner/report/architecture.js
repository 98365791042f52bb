// The architecture of the chosen trial: its choices by stage, chosen candidates marked, and what was
// left out in grey.

function grouped() {
  const stages = new Map();
  data.choices.forEach(({ label }, i) => {
    const name = label.includes("/") ? label.slice(0, label.indexOf("/")) : "";
    stages.set(name, [...(stages.get(name) ?? []), i]);
  });
  return [...stages].map(([name, places]) => ({ name, places }));
}

const STAGES = grouped();

function candidate(text, isChosen) {
  const made = element("span", { class: `candidate${isChosen ? " chosen" : ""}`, title: text }, text);
  if (isChosen) made.setAttribute("aria-current", "true");
  return made;
}

function range({ low, high, log }, value) {
  const place = (x) => (log ? Math.log(x / low) / Math.log(high / low) : (x - low) / (high - low || 1));
  const x = 4 + 152 * Math.min(Math.max(place(value), 0), 1);
  return drawn("svg", { class: "range", viewBox: "0 0 160 16", role: "img", "aria-label": `${value} of ${low} to ${high}` },
    drawn("rect", { x: 4, y: 6.5, width: 152, height: 3, rx: 1.5 }),
    ...(Number.isFinite(value) ? [drawn("circle", { cx: x, cy: 8, r: 5 })] : []));
}

function candidates(choice, text, isAsked) {
  if (choice.indices !== undefined) {
    const picked = new Set(isAsked ? JSON.parse(text) : []);
    return Array.from({ length: choice.indices }, (_, i) => candidate(`input ${i}`, picked.has(i)));
  }
  if (choice.low !== undefined) {
    const short = (value) => String(Number(Number(value).toPrecision(4)));
    const ends = `${short(choice.low)} to ${short(choice.high)}${choice.log ? ", log" : ""}`;
    return [...(isAsked ? [candidate(short(text), true)] : []), range(choice, isAsked ? Number(text) : NaN),
      element("span", { class: "when" }, ends)];
  }
  const all = choice.candidates.includes(text) || !isAsked ? choice.candidates : [text, ...choice.candidates];
  return all.map((one) => candidate(one, isAsked && one === text));
}

function choiceRow(i, trial, stage) {
  const choice = data.choices[i], isAsked = trial.values[i] >= 0;
  const name = stage.name ? choice.label.slice(stage.name.length + 1) : choice.label;
  const shown = candidates(choice, valueText(trial, i), isAsked);
  const when = choice.when && !isAsked ? [element("span", { class: "when" }, `only if ${choice.when}`)] : [];
  return element("div", { class: `choice${isAsked ? "" : " absent"}` },
    element("span", { class: "label", title: choice.label }, name),
    element("span", { class: "candidates" }, ...shown, ...when));
}

function showArchitecture(trial) {
  const best = trial.number === data.best[0] ? ", the best" : "";
  document.getElementById("architecture-title").textContent = `Architecture of trial ${trial.number}${best}`;
  document.getElementById("stages").replaceChildren(...STAGES.map((stage) => {
    const isAbsent = stage.places.every((i) => trial.values[i] < 0);
    const title = STAGES.length > 1 ? [element("h3", {}, stage.name || "whole model")] : [];
    const rows = stage.places.map((i) => choiceRow(i, trial, stage));
    return element("div", { class: `stage${isAbsent ? " absent" : ""}` }, ...title, ...rows);
  }));
  const graph = document.getElementById("graph");
  if (graph) graph.hidden = trial.number !== data.best[0];
}

if (document.getElementById("stages")) onChoose(showArchitecture);
