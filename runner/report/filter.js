// The filter of the table: words, of which all must occur, and comparisons such as `depth = 2`,
// `params<200k` or `latency <= 2 ms`. What it cannot understand is said, and filters nothing.

const SIGN = /^\s*(<=|>=|!=|=|<|>)\s*/;
const QUOTED = /^"([^"]*)"(?=\s|$)/;
const NAME = /^([^\s<>=!]+)\s*(?:<=|>=|!=|=|<|>)/;
const NUMBER = "[+-]?(?:\\d[\\d_]*\\.?[\\d_]*|\\.\\d[\\d_]*)(?:[eE][+-]?\\d+)?";
const CLOCK = /^(?:(\d+):)?(\d+):(\d\d)(?=\s|$)/;
const UNIT_OF = { params: "", flops: "", latency: "s", memory: "B", size: "B" };

// Returns whether a trial passes, as a function, and what could not be understood.
function readFilter(text) {
  const tests = [], problems = [];
  for (let rest = text.trim(); rest;) {
    const { test, problem, length } = nextTest(rest);
    if (test) tests.push(test);
    if (problem) problems.push(problem);
    rest = rest.slice(length).trim();
  }
  return { passes: (trial) => tests.every((test) => test(trial)), problems };
}

function nextTest(rest) {
  const quoted = QUOTED.exec(rest);
  if (quoted) return wordTest(quoted[1], quoted[0].length);
  const { name, columns } = columnsAt(rest);
  if (name === undefined) {
    const [word] = /^\S+/.exec(rest);
    return wordTest(word, word.length);
  }
  const [before, sign] = SIGN.exec(rest.slice(name.length));
  const typed = rest.slice(name.length + before.length);
  const { value, text } = columns.length === 1 ? valueAt(typed, columns[0]) : { text: wordAt(typed) };
  const length = name.length + before.length + text.length;
  if (!columns.length) return { problem: `no column ${name}`, length };
  if (columns.length > 1) return { problem: `${name} may be ${columns.map((c) => c.name).join(" or ")}`, length };
  if (value === undefined) return { problem: `${rest.slice(0, length).trim()} cannot be read`, length };
  return { test: (trial) => holds(columns[0], sign, value, text, trial), length };
}

function wordTest(word, length) {
  const low = word.toLowerCase();
  return { test: (trial) => searched(trial).includes(low), length };
}

// Returns the name that a comparison begins with, and the columns that it may mean: that of this
// name, or those whose last part it is. There is no name if this is no comparison.
function columnsAt(rest) {
  const begins = (column) => {
    const start = rest.slice(0, column.name.length);
    return start.toLowerCase() === column.name.toLowerCase() && SIGN.test(rest.slice(column.name.length));
  };
  const isExact = (column) => rest.startsWith(column.name);
  const begun = COLUMNS.filter(begins).sort((a, b) => b.name.length - a.name.length || isExact(b) - isExact(a));
  if (begun.length) {
    const same = begun.filter((c) => c.name.length === begun[0].name.length);
    return { name: begun[0].name, columns: isExact(begun[0]) ? [begun[0]] : same };
  }
  const [, name] = NAME.exec(rest) ?? [];
  const columns = name ? COLUMNS.filter((c) => c.name.toLowerCase().endsWith(`/${name.toLowerCase()}`)) : [];
  return { name, columns };
}

const wordAt = (typed) => (/^"[^"]*"(?=\s|$)/.exec(typed) ?? /^\S*/.exec(typed))[0];

// Returns the value that a text begins with, undefined if it cannot be read, and its part of it.
function valueAt(typed, column) {
  const word = wordAt(typed), quoted = QUOTED.exec(word);
  if (!column.figure) return { value: word ? (quoted ? quoted[1] : word) : undefined, text: word };
  const clock = column.name === "time" && CLOCK.exec(typed);
  if (clock) return { value: 3600 * (clock[1] ?? 0) + 60 * clock[2] + Number(clock[3]), text: clock[0] };
  const fitting = Object.keys(data.units).filter((unit) => fits(data.units[unit][0], column));
  const units = fitting.sort((a, b) => b.length - a.length).join("|");
  const found = new RegExp(`^(${NUMBER})(?:\\s*(${units}))?(?=\\s|$)`).exec(typed);
  if (!found) return { text: word };
  const size = found[2] ? data.units[found[2]][1] : 1;
  return { value: Number(found[1].replaceAll("_", "")) * size, text: found[0] };
}

const fits = (kind, { unit }) => kind === null || unit === undefined || kind === unit;

const near = (a, b) => Math.abs(a - b) <= 1e-12 * Math.abs(b); // 0.7ms is not quite 0.0007

// Figures are also equal to what the table shows of them.
function isEqual(column, key, value, text, trial) {
  if (typeof key !== "number") {
    const [a, b] = [String(key), String(value)].map((one) => one.toLowerCase());
    return a === b || a === `"${b}"`;
  }
  const bare = (words) => words.replace(/\s/g, "").toLowerCase();
  return near(key, value) || bare(String(column.text(trial)).split("\u00b1")[0]) === bare(text);
}

function holds(column, sign, value, text, trial) {
  const key = column.key(trial);
  if (key === null) return sign === "!=";
  const equal = isEqual(column, key, value, text, trial);
  const [a, b] = typeof key === "number" ? [key, value] : [String(key).toLowerCase(), String(value).toLowerCase()];
  switch (sign) {
    case "=": return equal;
    case "!=": return !equal;
    case "<": return a < b && !near(a, b);
    case ">": return a > b && !near(a, b);
    case "<=": return a <= b || near(a, b);
    default: return a >= b || near(a, b);
  }
}

const words = new Map();
function searched(trial) {
  if (!words.has(trial)) {
    const sample = data.choices.map((choice, i) => `${choice.label}=${valueText(trial, i)}`);
    const all = [trial.number, trial.state, trial.remark, trial.failure, ...sample];
    words.set(trial, all.join(" ").toLowerCase());
  }
  return words.get(trial);
}
