// Models compared: what each pair means, and both texts.

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const chosen = new URLSearchParams(location.hash.slice(1)).get("theme");
  if (chosen) theme(chosen);
  const texts = (model) => {
    if (model.golden === null || model.golden === undefined) return section("Candidate; no golden", codeBlock(model.candidate || "", "sql"));
    if (model.candidate === null || model.candidate === undefined) return section("Golden; no candidate", codeBlock(model.golden, "sql"));
    if (model.golden === model.candidate) return section("SQL of both", codeBlock(model.golden, "sql"));
    return section("SQL", diffView(model.golden, model.candidate, model.diff, "sql", ["golden", "candidate"]));
  };
  const whole = document.getElementById("models");
  data.models.forEach((model, i) => {
    const { comparison } = model;
    const proved = comparison.verdict === "identical" || comparison.verdict === "equivalent";
    whole.append(h("details", { class: "model", id: `model-${i}`, open: !proved || data.models.length === 1 },
      h("summary", {}, h("b", {}, model.name)),
      h("div", { class: "d-main" }, meaning(comparison), comparison.counterexample && counterexample(comparison.counterexample), texts(model))));
  });
  for (const link of document.querySelectorAll("a[data-model]")) {
    link.addEventListener("click", () => { document.getElementById(link.dataset.model).open = true; });
  }
})();
