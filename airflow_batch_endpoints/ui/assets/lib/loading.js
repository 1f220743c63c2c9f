// Part of the shell itself, so that it is there when nothing else arrives: a page that lacks a script or a style is loaded again.
(() => {
  const TRIES = 3;
  let isWhole = true;
  const lacks = ({ target }) => (isWhole &&= target === window);
  const say = () => {
    const text = document.createElement("p");
    text.textContent = "This page did not arrive as a whole. Is the network there?";
    const button = document.createElement("button");
    button.textContent = "Load it again";
    button.onclick = () => location.reload();
    document.getElementById("app").replaceChildren(text, button);
  };
  addEventListener("error", lacks, true);
  addEventListener("load", () => {
    removeEventListener("error", lacks, true);
    const { tries = 0, ...state } = history.state ?? {};
    const isTriedAgain = !isWhole && tries < TRIES;
    history.replaceState(isTriedAgain ? { ...state, tries: tries + 1 } : state, "");
    if (isTriedAgain) {
      setTimeout(() => location.reload(), 1000 * 2 ** tries);
    } else if (!isWhole) {
      say();
    }
  });
})();
