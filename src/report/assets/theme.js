// Light or dark: as the system says, until the reader chooses.

function theme(name) {
  if (name === "dark" || name === "light") document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}

function switchTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  theme(dark ? "light" : "dark");
  try { localStorage.setItem("assay-theme", dark ? "light" : "dark"); } catch { /* storage is off */ }
}

try { theme(localStorage.getItem("assay-theme")); } catch { /* storage is off */ }
document.getElementById("theme").addEventListener("click", switchTheme);
