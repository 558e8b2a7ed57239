"use strict";
// Painting SQL and its diff. Text only ever enters the page through text nodes.

/** An element; children are nodes, strings, or nothing. */
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

const KEYWORDS = new Set(("all and any as asc between by case cast create cross current desc distinct else end except exists extract false filter first " +
  "following from full group having ignore ilike in inner intersect interval is join last lateral left like limit natural not null nulls offset on or order " +
  "outer over partition preceding qualify range recursive right row rows select set then true unbounded union unnest using values when where window with within").split(" "));
const LONGEST_PAINTED = 4000;

/** The tokens of one line as [start, end, class]; `state` carries open comments to the next line. */
function tokens(line, state, language) {
  const found = [];
  if (language === "text" || line.length > LONGEST_PAINTED) return found;
  let at = 0;
  while (at < line.length) {
    if (state.until) {
      const end = line.indexOf(state.until, at);
      const stop = end < 0 ? line.length : end + state.until.length;
      found.push([at, stop, state.kind]);
      if (end >= 0) state.until = null;
      at = stop;
      continue;
    }
    const rest = line.slice(at);
    let match;
    if (rest.startsWith("{#")) { state.until = "#}"; state.kind = "com"; continue; }
    if (rest.startsWith("{{")) { state.until = "}}"; state.kind = "jin"; continue; }
    if (rest.startsWith("{%")) { state.until = "%}"; state.kind = "jin"; continue; }
    if (language === "yaml") {
      if ((match = /^\s*#.*/.exec(rest))) found.push([at, at + match[0].length, "com"]);
      else if ((match = /^[\w.-]+(?=:(\s|$))/.exec(rest))) found.push([at, at + match[0].length, "kw"]);
      else match = /^(\s+|[^\s{]+|.)/.exec(rest);
    } else {
      if (rest.startsWith("/*")) { state.until = "*/"; state.kind = "com"; continue; }
      if ((match = /^--.*/.exec(rest))) found.push([at, at + match[0].length, "com"]);
      else if ((match = /^'(?:[^']|'')*'?/.exec(rest))) found.push([at, at + match[0].length, "str"]);
      else if ((match = /^[A-Za-z_][\w$]*/.exec(rest))) { if (KEYWORDS.has(match[0].toLowerCase())) found.push([at, at + match[0].length, "kw"]); }
      else if ((match = /^\d+(?:\.\d+)?/.exec(rest))) found.push([at, at + match[0].length, "num-lit"]);
      else match = /^./u.exec(rest);
    }
    at += match[0].length;
  }
  return found;
}

/** A line as nodes: cut wherever a token or a changed range begins or ends. */
function paint(line, lineTokens, changed) {
  const cuts = new Set([0, line.length]);
  for (const [start, end] of lineTokens) { cuts.add(start); cuts.add(end); }
  for (const [start, end] of changed || []) { cuts.add(start); cuts.add(end); }
  const points = [...cuts].filter((p) => p <= line.length).sort((a, b) => a - b);
  const within = (ranges, start, end) => (ranges || []).find((r) => r[0] <= start && r[1] >= end);
  const nodes = [];
  for (let i = 0; i + 1 < points.length; i++) {
    const [start, end] = [points[i], points[i + 1]];
    const text = line.slice(start, end);
    const token = within(lineTokens, start, end);
    let node = token ? h("span", { class: token[2] }, text) : text;
    if (within(changed, start, end)) node = h("mark", {}, node);
    nodes.push(node);
  }
  return nodes;
}

function linesOf(text) {
  const lines = (text || "").split("\n");
  if (lines[lines.length - 1] === "") lines.pop();
  return lines;
}

/** The lines of a text with their tokens. */
function painted(text, language) {
  const state = { until: null, kind: null };
  return linesOf(text).map((line) => ({ line, tokens: tokens(line, state, language) }));
}

/** A whole text, painted. */
function codeBlock(text, language) {
  const pre = h("pre", { class: "code" });
  for (const { line, tokens: found } of painted(text, language)) pre.append(...paint(line, found), "\n");
  return pre;
}

const FOLD_BEYOND = 12;
const CONTEXT = 4;

/** The diff as rows: {kind, left, right, marks}; left and right are line indices or null. */
function diffRows(steps, leftCount, rightCount) {
  const rows = [];
  let [l, r] = [0, 0];
  for (const step of steps) {
    if (step[0] === "~") rows.push({ kind: "~", left: l++, right: r++, marks: [step[1], step[2]] });
    else for (let i = 0; i < step[1]; i++) {
      if (step[0] === "=") rows.push({ kind: "=", left: l++, right: r++ });
      else if (step[0] === "-") rows.push({ kind: "-", left: l++, right: null });
      else rows.push({ kind: "+", left: null, right: r++ });
    }
  }
  return l === leftCount && r === rightCount ? rows : null;
}

/** Golden and candidate side by side, or one below the other where the page is narrow. */
function diffView(left, right, steps, language, titles) {
  const [a, b] = [painted(left, language), painted(right, language)];
  const rows = steps && diffRows(steps, a.length, b.length);
  if (!rows) return h("div", { class: "d-main" }, h("h3", {}, titles[0]), codeBlock(left, language), h("h3", {}, titles[1]), codeBlock(right, language));
  const narrow = window.matchMedia("(max-width: 820px)").matches;
  const body = h("tbody");
  const number = (i) => h("td", { class: "ln" }, i === null ? "" : String(i + 1));
  const side = (lines, i, kind, marks) => i === null ? h("td", { class: "none" }) : h("td", { class: kind ? kind + " sg" : "sg" }, paint(lines[i].line, lines[i].tokens, marks));
  const build = (row) => {
    const [old, fresh] = [row.kind === "-" || row.kind === "~" ? "del" : "", row.kind === "+" || row.kind === "~" ? "ins" : ""];
    const marks = row.marks || [[], []];
    if (!narrow) return [h("tr", {}, number(row.left), side(a, row.left, old, marks[0]), number(row.right), side(b, row.right, fresh, marks[1]))];
    if (row.kind === "=") return [h("tr", {}, number(row.right), side(b, row.right, "", []))];
    const out = [];
    if (row.left !== null) out.push(h("tr", {}, number(row.left), side(a, row.left, "del", marks[0])));
    if (row.right !== null) out.push(h("tr", {}, number(row.right), side(b, row.right, "ins", marks[1])));
    return out;
  };
  let at = 0;
  while (at < rows.length) {
    let end = at;
    while (end < rows.length && rows[end].kind === "=") end++;
    const [keepBefore, keepAfter] = [at === 0 ? 0 : CONTEXT, end === rows.length ? 0 : CONTEXT];
    if (end - at > FOLD_BEYOND && rows.some((row) => row.kind !== "=")) {
      rows.slice(at, at + keepBefore).forEach((row) => body.append(...build(row)));
      const hidden = rows.slice(at + keepBefore, end - keepAfter);
      const open = () => fold.replaceWith(...hidden.flatMap(build));
      const fold = h("tr", { class: "fold", on: { click: open } }, h("td", { colspan: narrow ? 2 : 4 }, h("button", { type: "button" }, `${hidden.length} equal lines`)));
      body.append(fold);
      rows.slice(end - keepAfter, end).forEach((row) => body.append(...build(row)));
      at = end;
      continue;
    }
    if (end === at) end = at + 1;
    rows.slice(at, end).forEach((row) => body.append(...build(row)));
    at = end;
  }
  const columns = narrow ? [h("col", { style: "width:38px" }), h("col")] : [h("col", { style: "width:46px" }), h("col"), h("col", { style: "width:46px" }), h("col")];
  const heads = narrow ? [h("th", { colspan: 2 }, `− ${titles[0]}   + ${titles[1]}`)] : [h("th", { colspan: 2 }, titles[0]), h("th", { colspan: 2 }, titles[1])];
  return h("div", { class: "code" }, h("table", { class: "diff" }, h("colgroup", {}, columns), h("thead", {}, h("tr", {}, heads)), body));
}
