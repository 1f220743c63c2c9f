// What surrounds every page: where one is, and the ways to the others.
import { html, useEffect } from "../lib/html.js";
import { Link } from "./basics.js";

const SECTIONS = [
  { name: "Endpoints", to: "/" },
  { name: "Jobs", to: "/jobs" },
  { name: "Assets", to: "/assets" },
  { name: "Computes", to: "/computes" },
];

/**
 * A page.
 *
 * @param title what the window is called
 * @param section which of the sections it belongs to
 * @param crumbs the way to here: [name, address], the last without an address
 */
export function Layout({ title, section, crumbs = [], children }) {
  useEffect(() => {
    document.title = `${title} - Batch endpoints`;
  }, [title]);
  return html`<div class="page">
    <div class="top">
      <nav class="crumbs" aria-label="Where you are"><ol>
        <li><${Link} to="/">Batch endpoints<//></li>
        ${crumbs.map(([name, to]) => html`<li key=${name}>${to ? html`<${Link} to=${to}>${name}<//>` : html`<span aria-current="page">${name}</span>`}</li>`)}
      </ol></nav>
      <nav class="sections" aria-label="Batch endpoints">
        ${SECTIONS.map((entry) => html`<${Link} key=${entry.to} to=${entry.to} aria-current=${entry.name === section ? "true" : undefined}>${entry.name}<//>`)}
      </nav>
    </div>
    <main class="stack">${children}</main>
  </div>`;
}
