// What a job published: its files, the first rows, and the manifest.
import { ROOT, useResource, withQuery } from "../lib/api.js";
import { bytes, number } from "../lib/format.js";
import { html } from "../lib/html.js";
import { Code, Show } from "./basics.js";

const ROWS = 20;

export const Download = ({ address, name, label = "Download" }) =>
  html`<a class="button" href=${`${ROOT}${address}/outputs/${name.split("/").map(encodeURIComponent).join("/")}`} download aria-label=${`${label}: ${name}`}>${label}</a>`;

export function Output({ address, job }) {
  const isThere = job.state === "Completed";
  const outputs = useResource(isThere ? `${address}/outputs` : null);
  const preview = useResource(isThere ? withQuery(`${address}/preview`, { rows: ROWS }) : null);
  if (!isThere) {
    return html`<p class="card empty">${job.state === "Failed" || job.state === "Canceled" ? "The job has published nothing. Clearing its DAG run goes on from where it was." : "Nothing is published before the job completes."}</p>`;
  }
  return html`
    <${Show} of=${outputs} what="The output cannot be read">${(found) => html`<${Files} address=${address} outputs=${found} />`}<//>
    <section class="card" aria-label="Preview"><header><h2>First rows</h2>${preview.data && html`<span class="muted">of <code>${preview.data.file}</code></span>`}</header>
      <div><${Show} of=${preview} what="There is no preview">${(found) => html`<${Table} preview=${found} />`}<//></div></section>
    ${outputs.data && html`<section class="card" aria-label="Manifest"><header><h2>Manifest</h2></header><${Code} text=${JSON.stringify(outputs.data.manifest, null, 2)} label="manifest" /></section>`}`;
}

const Files = ({ address, outputs }) => html`<section class="card" aria-label="Files">
  <header><h2>Files</h2></header>
  <div class="scroll" tabindex="0" role="region" aria-label="Table of files"><table>
    <thead><tr><th>File</th><th class="number">Rows</th><th class="number">Size</th><th>SHA-256</th><th><span class="hidden">Download</span></th></tr></thead>
    <tbody>${[...outputs.files, ...(outputs.dead_letters ? [outputs.dead_letters] : [])].map((file) => html`<tr key=${file.name}>
      <th scope="row" class="mono">${file.name}</th><td class="number">${number(file.rows)}</td><td class="number">${bytes(file.bytes)}</td>
      <td class="mono" title=${file.sha256}>${file.sha256 ? `${file.sha256.slice(0, 12)}…` : "–"}</td><td><${Download} address=${address} name=${file.name} /></td></tr>`)}</tbody>
  </table></div>
</section>`;

function Table({ preview }) {
  if (!preview.rows.length) {
    return html`<p class="empty">The file has no rows.</p>`;
  }
  const text = (cell) => (cell === null ? "" : String(cell));
  return html`<div class="preview" tabindex="0" role="region" aria-label="First rows of the predictions"><table>
      <thead><tr>${preview.columns.map((column, i) => html`<th key=${i}>${text(column)}</th>`)}</tr></thead>
      <tbody>${preview.rows.map((row, i) => html`<tr key=${i}>${row.map((cell, j) => html`<td key=${j} class=${typeof cell === "number" ? "number" : ""} title=${text(cell)}>${text(cell)}</td>`)}</tr>`)}</tbody>
    </table></div>
    <p class="pager muted">${preview.is_complete ? "These are all the rows." : `The first ${preview.rows.length} rows.`}</p>`;
}
