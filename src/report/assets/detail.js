// One result: why, checks, what the SQL means, rows, diff, notes.

const LETTERS = { passed: "P", failed: "F", errored: "E", skipped: "S" };
const VERDICTS = {
  identical: "the same SQL but for cosmetics",
  equivalent: "proved to mean the same",
  agrees: "the same rows on every database tried; not proved",
  differs: "shown to mean something else",
  unknown: "not decided",
};

function seconds(value) {
  if (!value) return "";
  if (value < 0.001) return "< 1 ms";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return `${value.toFixed(1)} s`;
}

function copyButton(text) {
  const button = h("button", { type: "button" }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = h("textarea", {}, text);
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1200);
  });
  return button;
}

/** Text in which `quoted` parts are code. */
function rich(text) {
  return String(text).split(/`([^`\n]+)`/).map((part, i) => i % 2 ? h("code", { class: "said" }, part) : part);
}

function section(title, ...content) {
  return h("section", {}, h("h2", {}, title), content);
}

/** Runs of checks that were skipped for one reason, as one entry. */
function grouped(checks) {
  const groups = [];
  for (const check of checks) {
    const reason = check.outcome === "skipped" ? ((check.findings || [])[0] || {}).message || "" : null;
    const last = groups[groups.length - 1];
    if (reason !== null && last && last.reason === reason) last.checks.push(check);
    else groups.push({ reason, checks: [check] });
  }
  return groups;
}

function checkList(checks) {
  const longest = Math.max(0.001, ...checks.map((c) => c.seconds || 0));
  return h("ul", { class: "checks" }, grouped(checks).map(({ reason, checks: together }) => {
    const check = together[0];
    if (together.length > 1) {
      return h("li", { class: "skipped" }, h("span", { class: "letter", title: "skipped" }, "S"),
        h("span", { class: "name" }, together.map((c) => c.check).join(", ")), h("span"), h("div", { class: "found" }, rich(reason)));
    }
    const findings = check.findings || [];
    const width = check.seconds ? Math.max(1, check.seconds / longest * 100) : 0;
    return h("li", { class: check.outcome + (check.check === "lint" ? " advisory" : "") },
      h("span", { class: "letter", title: check.outcome }, LETTERS[check.outcome] || "?"),
      h("span", { class: "name" }, check.check, check.check === "lint" ? h("small", {}, " advisory") : null),
      h("span", { class: "sec" }, seconds(check.seconds)),
      width > 3 && h("span", { class: "fill", style: `width:${width.toFixed(1)}%` }),
      findings.map((f) => h("div", { class: "found" },
        check.outcome === "skipped" ? null : h("code", {}, f.class + (f.place ? " · " + f.place : "")), check.outcome === "skipped" ? null : " ", rich(f.message))));
  }));
}

function rowKey(row) {
  return JSON.stringify(row);
}

/** Which rows of `mine` are not matched by a row of `other`, counting repeats. */
function unmatched(mine, other) {
  const left = new Map();
  for (const row of other) left.set(rowKey(row), (left.get(rowKey(row)) || 0) + 1);
  return mine.map((row) => {
    const n = left.get(rowKey(row)) || 0;
    if (n > 0) left.set(rowKey(row), n - 1);
    return n === 0;
  });
}

function rowTable(table, title, side, only) {
  const numeric = table.columns.map((_, i) => table.rows.every((row) => row[i] === null || row[i] === undefined || /^-?[\d.]+$/.test(row[i])));
  const cell = (value, i) => value === null || value === undefined
    ? h("td", { class: "null" }, "NULL")
    : h("td", { class: numeric[i] ? "num" : null }, value);
  return h("div", {}, h("h3", {}, title), h("div", { class: "scroll" }, h("table", { class: "rows " + (side || "") },
    h("thead", {}, h("tr", {}, table.columns.map((c) => h("th", {}, c)))),
    h("tbody", {}, table.rows.length
      ? table.rows.map((row, r) => h("tr", { class: only && only[r] ? "only" : null }, table.columns.map((_, i) => cell(row[i], i))))
      : h("tr", {}, h("td", { class: "null", colspan: Math.max(1, table.columns.length) }, "no rows"))))));
}

function counterexample(example) {
  const [golden, candidate] = [example.golden, example.candidate];
  return h("section", {},
    h("h2", {}, "Rows that tell them apart"),
    h("div", { class: "tables" }, example.tables.map((t) => rowTable(t, t.name))),
    h("div", { class: "tables", style: "margin-top:16px" },
      rowTable(golden, "golden returns", "golden", unmatched(golden.rows, candidate.rows)),
      rowTable(candidate, "candidate returns", "candidate", unmatched(candidate.rows, golden.rows))),
    example.script && h("details", { style: "margin-top:12px" }, h("summary", {}, "DuckDB script that shows it again"),
      h("div", { class: "h-row" }, copyButton(example.script)), codeBlock(example.script, "sql")));
}

function meaning(golden) {
  const fragment = (f, kind) => f && h("span", { class: kind }, `${kind === "del" ? "−" : "+"} ${f.lines[0]}: ${f.sql}`);
  const facts = golden.facts || [];
  const cover = golden.coverage;
  return h("section", {},
    h("h2", {}, "What the SQL means"),
    h("p", { class: "means" }, h("span", { class: "pill " + golden.verdict }, golden.verdict), VERDICTS[golden.verdict] || "",
      h("span", { class: "soft" }, ` · ${golden.method.replace("_", " ")}: `, rich(golden.reason))),
    (golden.explanation || []).length > 0 && h("ul", { class: "changes", style: "margin-top:12px" }, golden.explanation.map((c) =>
      h("li", {}, rich(c.message), " ", h("span", { class: "tag" }, c.clause), h("span", { class: "tag" }, c.class),
        (c.golden || c.candidate) && h("div", { class: "frag" }, fragment(c.golden, "del"), fragment(c.candidate, "ins"))))),
    facts.length > 0 && h("ul", { class: "plain" }, facts.map((f) => h("li", {}, "rests on: ", f))),
    golden.would_prove && h("ul", { class: "plain" }, h("li", {}, "would be proved by: ", golden.would_prove)),
    cover && h("ul", { class: "plain" }, h("li", {}, `tried on ${cover.databases} databases, ${cover.non_empty} with rows; they tell ${cover.mutants_killed} of ${cover.mutants} altered goldens apart`)));
}

function audited(audit) {
  const differs = audit.disagreements.map((d) => `${d.check}: ${d.other} instead of ${d.judged}`);
  return `${audit.engine}, ` + (differs.length ? `which disagrees: ${differs.join("; ")}` : "which agrees");
}

function usage(result) {
  const rows = [];
  const add = (name, value) => { if (value !== null && value !== undefined) rows.push(h("dt", {}, name), h("dd", {}, String(value))); };
  if (result.latency != null) add("latency", result.latency < 1000 ? `${result.latency} ms` : `${(result.latency / 1000).toFixed(1)} s`);
  const u = result.usage || {};
  add("tokens in", u.input);
  add("of these cached", u.cached_input || null);
  add("tokens out", u.output);
  add("of these reasoning", u.reasoning || null);
  add("ended by", result.finish);
  add("built by", result.engine);
  if (result.audit) add("audited by", audited(result.audit));
  if (result.mutation) add("mutants noticed", `${result.mutation.noticed} of ${result.mutation.mutants}`);
  if (result.score != null) add("score", result.score.toFixed(2));
  return rows.length ? section("Answer", h("dl", { class: "kv" }, rows)) : null;
}

function toolCalls(calls) {
  if (!calls || !calls.length) return null;
  return section("Tool calls", h("ul", { class: "checks" }, calls.map((call) => h("li", { class: call.error ? "failed" : "passed" },
    h("span", { class: "letter" }, call.error ? "F" : "P"), h("span", { class: "name" }, call.name), h("span", { class: "sec" }, call.error || ""),
    h("div", { class: "found" }, h("code", {}, JSON.stringify(call.arguments)))))));
}

/** What to read first. */
function why(result) {
  const failed = result.checks.find((c) => c.check === result.first && c.outcome === "failed");
  const errored = result.checks.find((c) => c.outcome === "errored" && c.check !== "lint");
  const skipped = result.checks.find((c) => c.outcome === "skipped");
  const check = failed || (result.status === "errored" ? errored : null) || (result.status === "skipped" ? skipped : null);
  const finding = check && (check.findings || [])[0];
  // Examples of rows follow on lines of their own; the list of checks shows them.
  const text = finding ? finding.message.split("\n")[0] : result.status === "passed" ? "every check that applies passed" : "no finding";
  return h("p", { class: "why" }, h("span", { class: "pill " + result.status }, result.status + (failed ? ": " + failed.check : "")), rich(text),
    finding && finding.place ? h("span", { class: "place" }, "  " + finding.place) : null);
}

function detailBody(data, kase, result) {
  const text = (i) => i === null || i === undefined ? null : data.texts[i];
  const titles = ["golden", `candidate (${result.prompt})`];
  const [goldenSql, sql] = [text(kase.sql), text(result.sql)];
  const [goldenYaml, yaml] = [text(kase.yaml), text(result.yaml)];
  const compared = (golden, candidate, steps, language, name) => {
    if (candidate === null && !golden) return null;
    const copy = candidate ? copyButton(candidate) : null;
    const head = h("div", { class: "h-row" }, h("h2", {}, name), copy);
    if (candidate === null) return h("section", {}, h("h2", {}, `${name} (golden; no candidate)`), codeBlock(golden, language));
    if (!golden) return h("section", {}, head, codeBlock(candidate, language));
    if (golden === candidate) return h("section", {}, head, h("p", { class: "note", style: "margin-bottom:8px" }, "The same text as the golden."), codeBlock(candidate, language));
    return h("section", {}, head, diffView(golden, candidate, steps, language, titles));
  };
  return h("div", { class: "d-body" },
    h("div", { class: "d-side" },
      section("Checks", checkList(result.checks)),
      usage(result),
      toolCalls(result.tools),
      section("Case", h("dl", { class: "kv" }, h("dt", {}, "model"), h("dd", {}, kase.model || ""), kase.project ? [h("dt", {}, "project"), h("dd", {}, kase.project)] : null,
        kase.cluster ? [h("dt", {}, "cluster"), h("dd", {}, kase.cluster)] : null, kase.row ? [h("dt", {}, "row"), h("dd", {}, kase.row)] : null))),
    h("div", { class: "d-main" },
      why(result),
      result.golden && meaning(result.golden),
      result.golden && result.golden.counterexample && counterexample(result.golden.counterexample),
      text(result.answer) !== null && section("Raw answer", codeBlock(text(result.answer), "text")),
      compared(goldenSql, sql, result.diff, "sql", "SQL"),
      (result.notes || []).length > 0 && section("Review notes", h("ul", { class: "notes" }, result.notes.map((n) => h("li", {}, n)))),
      yaml !== null && compared(goldenYaml, yaml, result.yamlDiff, "yaml", "Schema YAML"),
      text(kase.spec) && h("details", {}, h("summary", {}, "Spec"), codeBlock(text(kase.spec), "text"))));
}
