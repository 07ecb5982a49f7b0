// Sets the theme before the first paint: the one chosen here before, else the system's.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("driftline-theme"); } catch { /* storage may be refused: the system's theme serves */ }
  const light = matchMedia("(prefers-color-scheme: light)");
  const set = (name) => {
    document.documentElement.dataset.theme = name;
    dispatchEvent(new Event("driftline-theme"));
  };
  set(chosen ?? (light.matches ? "light" : "dark"));
  light.addEventListener("change", () => { if (!chosen) set(light.matches ? "light" : "dark"); });
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      chosen = document.documentElement.dataset.theme === "light" ? "dark" : "light";
      try { localStorage.setItem("driftline-theme", chosen); } catch { /* the choice then lasts until the page is closed */ }
      set(chosen);
    });
  });
})();
