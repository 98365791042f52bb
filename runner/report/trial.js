// The chosen trial: its figures, its commands, its curve; and two trials beside each other.

const COMMANDS = JSON.parse(document.getElementById("commands").textContent);

function copyButton(text) {
  const button = element("button", { type: "button" }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      const range = document.createRange(); // no access to the clipboard: it can be copied by hand
      range.selectNodeContents(button.previousSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "selected";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  return button;
}

function command([what, before, after], trial) {
  const text = `${before}${trial.number}${after}`;
  return element("div", { class: "command" }, element("span", {}, what), element("pre", {}, text), copyButton(text));
}

function pairs(list) {
  const made = element("dl");
  for (const [name, value] of list) {
    if (value !== "" && value !== undefined) made.append(element("dt", {}, name), element("dd", {}, String(value)));
  }
  return made;
}

function showTrial(trial) {
  const folder = `trials/${String(trial.number).padStart(4, "0")}/`;
  const about = pairs([
    ["state", trial.state], ["why", trial.failure], ["remark", trial.remark],
    ["rank", ranks.get(trial.number) ?? ""], ["proposed", `${duration(trial.proposed)} after the first trial`],
    ["time", duration(trial.seconds)], ["epochs", trial.epochs || ""], ["seed", trial.seed],
    ["files", folder],
  ]);
  const metrics = pairs(data.metrics.map((name, i) => [name, figureOf(trial, i)]));
  const sample = pairs(data.choices.map((choice, i) => [choice.label, valueText(trial, i)]));
  const part = (title, body) => element("div", {}, element("h3", {}, title), body);
  document.getElementById("trial-title").textContent = `Trial ${trial.number}`;
  document.getElementById("trial-facts").replaceChildren(
    part("Outcome", about),
    ...(trial.metrics.some((value) => value !== null) ? [part("Metrics", metrics)] : []),
    part("Sample", sample),
  );
  document.getElementById("trial-commands").replaceChildren(...COMMANDS.map((one) => command(one, trial)));
}

// Differences

function difference(name, a, b) {
  if (typeof a !== "number" || typeof b !== "number" || a === b) return "";
  const aim = data.objectives.find(({ metric }) => data.metrics[metric] === name);
  const better = aim && (aim.mode === "max" ? b > a : b < a);
  const sign = b > a ? "+" : "\u2212", size = figure(name, Math.abs(b - a));
  return element("span", { class: aim ? (better ? "better" : "worse") : "" }, `${sign}${size}`);
}

function showDifference() {
  const [a, b] = ["first", "second"].map((id) => byNumber.get(Number(document.getElementById(id).value)));
  const place = document.getElementById("different");
  if (!a || !b) {
    place.replaceChildren(element("p", { class: "empty" }, "Enter the numbers of two trials."));
    return;
  }
  const cells = (name, x, y, last) => [
    element("td", { class: "name wrap", title: name }, name), element("td", { class: "wrap" }, x),
    element("td", { class: "wrap" }, y), element("td", {}, last),
  ];
  const metrics = data.metrics.map((name, i) => [name, a.metrics[i], b.metrics[i], i])
    .filter(([, x, y]) => x !== null || y !== null)
    .map(([name, x, y, i]) => element("tr", {}, ...cells(name, figureOf(a, i), figureOf(b, i), difference(name, x, y))));
  const choices = data.choices.map((choice, i) => [choice.label, valueText(a, i), valueText(b, i), a.values[i] !== b.values[i]]);
  const line = ([name, x, y, differs]) => element("tr", { class: differs ? "other" : "" },
    ...cells(name, x || "\u2014", y || "\u2014", differs ? "differs" : ""));
  const head = element("tr", {}, ...["", `trial ${a.number}`, `trial ${b.number}`, ""].map(
    (text) => element("th", { class: "plain", scope: "col" }, text)));
  const table = (rows) => element("div", { class: "box", tabIndex: 0 },
    element("table", {}, element("thead", {}, head.cloneNode(true)), element("tbody", {}, ...rows)));
  const others = choices.filter(([, , , differs]) => differs), same = choices.filter(([, , , differs]) => !differs);
  place.replaceChildren(
    element("h3", {}, others.length === 1 ? "1 choice differs" : `${others.length} choices differ`),
    ...(others.length ? [table(others.map(line))] : []),
    ...(metrics.length ? [element("h3", {}, "Metrics"), table(metrics)] : []),
    ...(same.length ? [element("details", {}, element("summary", {}, `${same.length} equal`), table(same.map(line)))] : []),
  );
}

{
  const [first, second] = ["first", "second"].map((id) => document.getElementById(id));
  const numbers = [...data.best, ...trials.filter((trial) => !trial.isRepeat).map((trial) => trial.number)];
  const two = [...new Set(numbers)];
  first.value = two[0] ?? "";
  second.value = two[1] ?? two[0] ?? "";
  for (const input of [first, second]) input.addEventListener("input", showDifference);
  document.getElementById("compare-chosen").addEventListener("click", () => {
    if (!chosen) return;
    second.value = chosen.number;
    showDifference();
    document.getElementById("difference").scrollIntoView();
  });
  showDifference();
  onChoose(showTrial);
}
