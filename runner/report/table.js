// The table of all trials: sorted by a click on a header, filtered; see `filter.js`.

const PAGE = 50;
const found = { trials, listeners: [], problems: [] }; // what the filter leaves, for charts, too

const byValue = (value) => (typeof value === "number" ? value : null);

function columns() {
  const aims = new Set(data.objectives.map(({ metric }) => metric));
  const metric = (i) => ({
    name: data.headings.metrics[i], figure: true, unit: UNIT_OF[data.metrics[i]], group: aims.has(i) ? "" : "metrics",
    text: (trial) => figureOf(trial, i),
    key: (trial) => byValue(trial.metrics[i]),
  });
  return [
    { name: "rank", figure: true, unit: "", text: (t) => ranks.get(t.number) ?? "", key: (t) => ranks.get(t.number) ?? null },
    { name: "trial", figure: true, unit: "", text: (t) => t.number, key: (t) => t.number },
    { name: "state", text: (t) => t.state, key: (t) => t.state },
    ...data.metrics.map((_, i) => metric(i)),
    { name: "epochs", figure: true, unit: "", text: (t) => t.epochs || "", key: (t) => t.epochs },
    { name: "time", figure: true, unit: "s", text: (t) => duration(t.seconds), key: (t) => byValue(t.seconds) },
    { name: "remark", text: (t) => [t.remark, t.failure].filter(Boolean).join("; "),
      key: (t) => `${t.remark}${t.failure}` || null },
    ...data.choices.map((choice, i) => ({
      name: data.headings.choices[i], group: "choices", figure: choice.numeric,
      text: (t) => shortValue(t, i), whole: (t) => valueText(t, i),
      key: (t) => (t.values[i] < 0 ? null : choice.numeric ? Number(valueText(t, i)) : valueText(t, i)),
    })),
  ];
}

const COLUMNS = columns();
const view = { column: COLUMNS[0], down: false, page: 0, hidden: new Set() };

function compare(a, b) {
  const [x, y] = [view.column.key(a), view.column.key(b)];
  if (x === null || y === null) return (x === null) - (y === null) || a.number - b.number;
  const order = x < y ? -1 : x > y ? 1 : 0;
  return (view.down ? -order : order) || a.number - b.number;
}

function header(column) {
  const button = element("button", { type: "button", title: `sort by ${column.name}` }, column.name);
  const cell = element("th", { scope: "col", class: column.figure ? "figure" : "" }, button);
  button.addEventListener("click", () => {
    view.down = view.column === column && !view.down;
    view.column = column;
    view.page = 0;
    draw();
    document.querySelector("#table th[aria-sort] button")?.focus();
  });
  if (view.column === column) cell.setAttribute("aria-sort", view.down ? "descending" : "ascending");
  return cell;
}

function row(trial, shown) {
  const made = element("tr", { class: "pick" });
  made.dataset.number = trial.number;
  made.setAttribute("aria-selected", String(trial === chosen));
  for (const column of shown) {
    const text = String(column.text(trial));
    const cell = element("td", { class: column.figure ? "figure" : "", title: String((column.whole ?? column.text)(trial)) });
    if (column.name === "trial") cell.append(element("button", { type: "button", class: "number" }, text));
    else if (column.name === "state") cell.append(element("span", { class: `chip ${trial.state}` }, text));
    else cell.append(text);
    made.append(cell);
  }
  return made;
}

function draw() {
  const shown = COLUMNS.filter((column) => !view.hidden.has(column.group));
  const sorted = [...found.trials].sort(compare);
  const pages = Math.max(Math.ceil(sorted.length / PAGE), 1);
  view.page = Math.min(view.page, pages - 1);
  const first = view.page * PAGE, rows = sorted.slice(first, first + PAGE);
  const body = element("tbody", {}, ...rows.map((trial) => row(trial, shown)));
  const head = element("thead", {}, element("tr", {}, ...shown.map(header)));
  document.getElementById("table").replaceChildren(element("table", {}, head, body));
  const few = found.trials.length < trials.length ? ` of ${trials.length}` : "";
  const place = rows.length ? `${first + 1} to ${first + rows.length} of ` : "";
  const noun = (few ? trials.length : found.trials.length) === 1 ? "trial" : "trials";
  const count = `${place}${found.trials.length}${few} ${noun}`;
  document.getElementById("count").textContent = [count, ...found.problems].join("; ");
  document.getElementById("previous").disabled = view.page === 0;
  document.getElementById("next").disabled = view.page >= pages - 1;
}

function filter() {
  const { passes, problems } = readFilter(document.getElementById("filter").value);
  const state = document.getElementById("state").value;
  found.trials = trials.filter((trial) => (!state || trial.state === state) && passes(trial));
  found.problems = problems;
  view.page = 0;
  draw();
  for (const listener of found.listeners) listener(found.trials);
}

function turn(by) {
  view.page += by;
  draw();
}

{
  const states = [...new Set(trials.map((trial) => trial.state))].sort();
  const select = document.getElementById("state");
  for (const state of states) select.append(element("option", { value: state }, state));
  select.addEventListener("change", filter);
  document.getElementById("filter").addEventListener("input", filter);
  document.getElementById("previous").addEventListener("click", () => turn(-1));
  document.getElementById("next").addEventListener("click", () => turn(1));
  document.getElementById("table").addEventListener("click", (event) => {
    const line = event.target.closest("tr.pick");
    if (line) choose(line.dataset.number);
  });
  for (const group of ["metrics", "choices"]) {
    const box = document.getElementById(`show-${group}`);
    box.addEventListener("change", () => {
      view.hidden[box.checked ? "delete" : "add"](group);
      draw();
    });
  }
  draw();
  onChoose((trial) => {
    for (const line of document.querySelectorAll("#table tr.pick")) {
      line.setAttribute("aria-selected", String(Number(line.dataset.number) === trial.number));
    }
  });
}
