// The page: routes, filter, keys, theme.

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const [overview, detail, filter, top] = [byId("overview"), byId("detail"), byId("filter"), document.querySelector(".top")];
  const caseOf = new Map(data.cases.map((c) => [c.id, c]));
  const resultsOf = new Map();
  for (const result of data.results) {
    if (!resultsOf.has(result.case)) resultsOf.set(result.case, []);
    resultsOf.get(result.case).push(result);
  }
  const rows = [...document.querySelectorAll("#grid tbody tr")];
  let cursor = { row: -1, column: 0 };

  // Routes: #case=..&prompt=..&trial=.. | #filter=.. | #section=.. ; theme=dark|light may be added to each.
  const read = () => new URLSearchParams(location.hash.slice(1));
  function go(fields) {
    const params = new URLSearchParams();
    for (const [name, value] of Object.entries(fields)) if (value !== null && value !== undefined && value !== "") params.set(name, value);
    const theme = read().get("theme");
    if (theme) params.set("theme", theme);
    location.hash = params.toString();
  }

  // Filter: words are searched in id, title, model and tags; s: check: class: verdict: look at results, all at the same
  // one; a>b and a<b compare two versions; a minus negates.
  const passRate = (id, prompt) => {
    const judged = (resultsOf.get(id) || []).filter((r) => r.prompt === prompt && (r.status === "passed" || r.status === "failed"));
    return judged.length ? judged.filter((r) => r.status === "passed").length / judged.length : null;
  };
  const versionOf = (name) => data.prompts.find((p) => p.toLowerCase() === name) || data.prompts.find((p) => p.toLowerCase().startsWith(name));
  const ofResult = {
    s: (r, v) => r.status.startsWith(v),
    check: (r, v) => r.checks.some((c) => c.check.startsWith(v) && (c.outcome === "failed" || c.outcome === "errored")),
    class: (r, v) => r.checks.some((c) => c.outcome !== "skipped" && (c.findings || []).some((f) => f.class.toLowerCase().startsWith(v))),
    verdict: (r, v) => !!r.golden && r.golden.verdict.startsWith(v),
    prompt: (r, v) => r.prompt.toLowerCase().startsWith(v),
  };
  const differ = (list) => new Set(list.filter((r) => r.status === "passed" || r.status === "failed").map((r) => r.status)).size > 1;
  const ofCase = {
    tag: (c, list, v) => (c.tags || []).concat(...list.map((r) => r.tags || [])).some((t) => t.toLowerCase().startsWith(v)),
    cluster: (c, list, v) => (c.cluster || (list[0] && list[0].cluster) || "").toLowerCase().startsWith(v),
    project: (c, list, v) => (c.project || "").toLowerCase().startsWith(v),
  };
  function matcher(text) {
    const wanted = [], unwanted = [], tests = [];
    for (let term of text.toLowerCase().split(/\s+/).filter(Boolean)) {
      const no = term.length > 1 && term.startsWith("-");
      if (no) term = term.slice(1);
      const [, key, value] = /^(\w+):(.*)$/.exec(term) || [];
      const versus = /^(.+)([<>])(.+)$/.exec(term);
      let test = null;
      if (key === "s" && value && "differ".startsWith(value)) test = (c, list) => differ(list);
      else if (key && ofResult[key]) { (no ? unwanted : wanted).push((r) => ofResult[key](r, value)); continue; }
      else if (key && ofCase[key]) test = (c, list) => ofCase[key](c, list, value);
      else if (versus && versionOf(versus[1]) && versionOf(versus[3])) {
        test = (c) => {
          const [a, b] = [passRate(c.id, versionOf(versus[1])), passRate(c.id, versionOf(versus[3]))];
          return a !== null && b !== null && (versus[2] === ">" ? a > b : a < b);
        };
      } else test = (c, list) => [c.id, c.title, c.model, ...(c.tags || []), ...list.flatMap((r) => r.tags || [])].join(" ").toLowerCase().includes(term);
      tests.push((c, list) => test(c, list) !== no);
    }
    return (c, list) => tests.every((t) => t(c, list))
      && (!wanted.length || list.some((r) => wanted.every((t) => t(r))))
      && !unwanted.some((t) => list.some(t));
  }
  function applyFilter(text) {
    const matches = matcher(text);
    let shown = 0;
    for (const row of rows) {
      const id = row.dataset.case;
      row.hidden = !matches(caseOf.get(id) || { id, title: "", model: "" }, resultsOf.get(id) || []);
      if (!row.hidden) shown++;
    }
    byId("shown").textContent = shown === rows.length ? String(shown) : `${shown} of ${rows.length}`;
    for (const chip of document.querySelectorAll(".chips button")) chip.setAttribute("aria-pressed", String(chip.dataset.filter === text.trim()));
  }
  filter.addEventListener("input", () => applyFilter(filter.value));
  filter.addEventListener("change", () => go({ filter: filter.value }));
  for (const element of document.querySelectorAll("[data-filter]")) {
    element.addEventListener("click", (event) => {
      event.preventDefault();
      filter.value = element.dataset.filter;
      applyFilter(filter.value);
      go({ filter: filter.value, section: element.tagName === "A" ? "cases" : null });
    });
  }

  // The case grid's cursor.
  const visibleRows = () => rows.filter((row) => !row.hidden);
  function mark() {
    document.querySelectorAll(".grid .at").forEach((e) => e.classList.remove("at"));
    const row = visibleRows()[cursor.row];
    if (!row) return null;
    row.classList.add("at");
    const cells = [...row.querySelectorAll(".cell")];
    const cell = cells[Math.min(cursor.column, cells.length - 1)];
    if (cell) cell.classList.add("at");
    row.scrollIntoView({ block: "nearest" });
    return cell;
  }
  function move(down, right) {
    const last = visibleRows().length - 1;
    cursor = { row: Math.max(0, Math.min(last, cursor.row + down)), column: Math.max(0, Math.min(data.prompts.length - 1, cursor.column + right)) };
    return mark();
  }

  // The detail of a result.
  const address = (result) => ({ case: result.case, prompt: result.prompt, trial: result.trial || null });
  function strip(letters) {
    const words = { p: "passed", f: "failed", m: "mixed", e: "errored", s: "skipped", "-": "not run" };
    return letters ? h("span", { class: "strip", title: "last runs, oldest first: " + [...letters].map((l) => words[l]).join(", ") }, [...letters].map((l) => h("i", { class: l === "-" ? "none" : l }))) : null;
  }
  function open(params) {
    const id = params.get("case");
    const list = resultsOf.get(id) || [];
    const wanted = params.get("prompt");
    const trial = Number(params.get("trial") || 0);
    const result = list.find((r) => r.prompt === wanted && r.trial === trial) || list.find((r) => r.prompt === wanted) || list[0];
    const kase = caseOf.get(id) || { id, title: "", model: "", sql: null, yaml: null, spec: null, history: {} };
    const opened = detail.hidden;
    detail.hidden = false;
    overview.inert = top.inert = true;
    document.body.style.overflow = "hidden";
    if (!result) {
      detail.replaceChildren(h("div", { class: "d-body" }, h("p", { class: "why" }, `There is no result of case “${id}” in this report. `, h("a", { href: "#" }, "All cases"))));
      return;
    }
    const repeated = list.some((r) => r.trial > 0);
    const tabs = list.map((r) => h("a", {
      class: "cell " + r.status, href: "#" + new URLSearchParams(Object.entries(address(r)).filter(([, v]) => v !== null)), "aria-current": r === result ? "true" : null,
    }, h("b", {}, LETTERS[r.status]), r.prompt + (repeated ? ` · ${r.trial + 1}` : ""), r.trial === 0 ? strip((kase.history || {})[r.prompt]) : null));
    detail.replaceChildren(
      h("div", { class: "d-top" },
        h("div", { class: "d-line" }, h("h1", {}, kase.title || id), h("code", {}, id), (kase.tags || []).map((t) => h("span", { class: "tag" }, t)),
          h("div", { class: "d-nav" },
            h("button", { type: "button", title: "previous case (k)", on: { click: () => step(-1) } }, "‹ prev"),
            h("button", { type: "button", title: "next case (j)", on: { click: () => step(1) } }, "next ›"),
            h("button", { type: "button", title: "back to all cases (esc)", on: { click: close } }, "✕ close"))),
        h("div", { class: "tabs" }, tabs)),
      detailBody(data, kase, result));
    detail.scrollTop = 0;
    const current = detail.querySelector(".tabs [aria-current]");
    if (current) current.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (opened) detail.focus({ preventScroll: true });
    cursor = { row: visibleRows().findIndex((row) => row.dataset.case === id), column: Math.max(0, data.prompts.indexOf(result.prompt)) };
  }
  function close() {
    go({ filter: filter.value });
  }
  function step(by) {
    const list = visibleRows();
    const at = list.findIndex((row) => row.dataset.case === read().get("case"));
    const next = list[Math.max(0, Math.min(list.length - 1, at + by))];
    if (next) go({ case: next.dataset.case, prompt: read().get("prompt") });
  }
  function version(by) {
    const list = resultsOf.get(read().get("case")) || [];
    const at = list.findIndex((r) => r.prompt === (read().get("prompt") || list[0].prompt) && r.trial === Number(read().get("trial") || 0));
    const next = list[Math.max(0, Math.min(list.length - 1, at + by))];
    if (next) go(address(next));
  }

  function route() {
    const params = read();
    if (params.get("theme")) theme(params.get("theme"));
    if (params.has("case")) return open(params);
    if (!detail.hidden) {
      detail.hidden = true;
      detail.replaceChildren();
      overview.inert = top.inert = false;
      document.body.style.overflow = "";
      mark();
    }
    filter.value = params.get("filter") || "";
    applyFilter(filter.value);
    const target = params.get("section") && byId(params.get("section"));
    if (target) target.scrollIntoView();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target === filter;
    if (event.key === "Escape") {
      if (!detail.hidden) close();
      else if (typing) { filter.value = ""; applyFilter(""); filter.blur(); go({}); }
      return;
    }
    if (typing) {
      if (event.key === "Enter") { filter.blur(); cursor.row = -1; move(1, 0); }
      return;
    }
    const showing = !detail.hidden;
    const actions = {
      j: () => showing ? step(1) : move(1, 0), k: () => showing ? step(-1) : move(-1, 0),
      l: () => showing ? version(1) : move(0, 1), h: () => showing ? version(-1) : move(0, -1),
      ArrowRight: showing ? () => version(1) : null, ArrowLeft: showing ? () => version(-1) : null,
      Enter: showing || event.target.closest("a, button") ? null : () => { const cell = mark(); if (cell) cell.click(); },
      "/": () => { if (showing) close(); filter.focus(); filter.select(); },
      t: switchTheme,
    };
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
  });
  window.addEventListener("hashchange", route);
  matchMedia("(max-width: 820px)").addEventListener("change", () => { if (!detail.hidden) open(read()); });
  applyFilter("");
  route();
})();
