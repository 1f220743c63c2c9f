// What a document was: who changed what when, and going back.
import { send, useResource, withQuery } from "../lib/api.js";
import { ago, moment } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { withoutNulls, yaml } from "../lib/yaml.js";
import { Code, Confirm, Pager, Problem, Show } from "./basics.js";

const PAGE = 20;
const WORDS = { created: "created", updated: "changed", deleted: "deleted", found: "found changed: by a task or by hand", unreadable: "found changed so that it cannot be read" };
const KINDS = { "+": "plus", "-": "minus", "@": "where" };

/** A unified diff, its lines coloured and still marked by their signs. */
export const Diff = ({ text, label }) => html`<div class="code"><pre class="diff" tabindex="0" role="region" aria-label=${`Text: ${label}`}>${text
  .split("\n")
  .filter((line) => !/^(---|\+\+\+)/.test(line))
  .map((line, i) => html`<span key=${i} class=${KINDS[line[0]] ?? ""}>${`${line}\n`}</span>`)}</pre></div>`;

/**
 * The revisions of one document.
 *
 * @param address of the document in the REST interface
 * @param name how messages call it
 */
export function Revisions({ address, name, mayEdit, why, onChange }) {
  const [offset, setOffset] = useState(0);
  const [asked, setAsked] = useState(null);
  const [failure, setFailure] = useState(null);
  const newest = useResource(withQuery(`${address}/revisions`, { limit: 1 }));
  const revisions = useResource(withQuery(`${address}/revisions`, { limit: PAGE, offset }));
  const current = newest.data?.items[0]?.revision ?? null;
  const restore = async (revision) => {
    try {
      // Only if it is still what is shown here.
      const headers = current ? { "If-Match": `"${current}"` } : { "If-None-Match": "*" };
      await send("POST", `${address}/revisions/${encodeURIComponent(revision)}/restore`, { headers });
      setFailure(null);
    } catch (error) {
      setFailure(error);
    }
    setOffset(0);
    newest.reload();
    revisions.reload();
    onChange?.();
  };
  return html`<section class="card" aria-label=${`History of ${name}`}>
    <header><h2>History of ${name}</h2></header>
    ${failure && html`<div class="body"><${Problem} error=${failure} what="Nothing was rolled back" /></div>`}
    <${Show} of=${revisions} what="The history cannot be read">${(page) => html`
      ${!page.items.length && html`<p class="empty">Nothing is known of it.</p>`}
      <ol class="revisions">${page.items.map((revision) => html`<li key=${revision.number} class="body">
        <div class="heading">
          <span><strong>${WORDS[revision.change] ?? revision.change}</strong>${revision.changed_by ? ` by ${revision.changed_by}` : ""}, <span title=${moment(revision.changed_at)}>${ago(revision.changed_at)}</span></span>
          <span class="actions">
            ${revision.revision && html`<code class="muted">${revision.revision}</code>`}
            ${revision.revision && revision.revision === current
              ? html`<span class="state good">Now</span>`
              : revision.revision && html`<button type="button" disabled=${!mayEdit} title=${mayEdit ? undefined : why} onClick=${() => setAsked(revision)} aria-label=${`Roll back to ${revision.revision}`}>Roll back to this</button>`}
          </span>
        </div>
        ${revision.diff
          ? html`<details open=${page.offset === 0 && revision === page.items[0]}><summary>What changed</summary><${Diff} text=${revision.diff} label=${`change ${revision.number} of ${name}`} /></details>`
          : revision.document && html`<details><summary>The document</summary><${Code} text=${yaml(withoutNulls(revision.document))} label=${`revision ${revision.number} of ${name}`} /></details>`}
      </li>`)}</ol>
      ${page.total > PAGE && html`<${Pager} page=${page} onOffset=${setOffset} of="changes" />`}
    `}<//>
    ${asked && html`<${Confirm} title=${`Roll ${name} back?`} action="Roll back" onConfirm=${() => restore(asked.revision)} onClose=${() => setAsked(null)}>
      Its document becomes what it was at revision <code>${asked.revision}</code>, as a new change. Running jobs are not touched.
    <//>`}
  </section>`;
}
