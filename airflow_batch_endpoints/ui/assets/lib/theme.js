// Runs before anything is drawn: a page has Airflow's theme from its first frame on.
(() => {
  // Airflow keeps its theme as a class of its own document and, for the next visit, in localStorage.
  const airflow = () => {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null; // shown inside of another site
    }
  };
  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null;
    }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const wanted = () => {
    const classes = airflow()?.classList;
    for (const name of ["dark", "light"]) {
      if (classes?.contains(name) || (!classes && stored() === name)) {
        return name;
      }
    }
    return system.matches ? "dark" : "light";
  };
  const follow = () => {
    const theme = wanted();
    if (document.documentElement.dataset.theme !== theme) {
      document.documentElement.dataset.theme = theme;
      dispatchEvent(new Event("themechange"));
    }
  };
  follow();
  system.addEventListener("change", follow);
  addEventListener("storage", follow);
  const outer = airflow();
  if (outer) {
    document.documentElement.dataset.embedded = "";
    const observer = new MutationObserver(follow);
    observer.observe(outer, { attributes: true, attributeFilter: ["class"] });
    addEventListener("pagehide", () => observer.disconnect());
  }
})();
