// Part of the shell itself, so that it is there when nothing else arrives: a page that lacks a script or a style is loaded again.
(() => {
  const TRIES = 3;
  let isWhole = true;
  const lacks = ({ target }) => (isWhole &&= target === window);
  const say = () => {
    const [page, notice, text, button] = ["div", "div", "p", "button"].map((name) => document.createElement(name));
    page.className = "page";
    notice.className = "notice bad";
    button.textContent = "Load it again";
    button.onclick = () => location.reload();
    text.append("This page did not arrive as a whole. Is the network there? ", button);
    notice.append(text);
    page.append(notice);
    document.getElementById("app").replaceChildren(page);
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
