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
    if (isWhole) {
      history.replaceState(state, "");
    } else if (tries < TRIES) {
      history.replaceState({ ...state, tries: tries + 1 }, "");
      setTimeout(() => location.reload(), 1000 * 2 ** tries);
    } else {
      say();
    }
  });
})();
