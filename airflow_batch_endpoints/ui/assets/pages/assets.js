// What documents and invocations call by a name.
import { Problem, Show } from "../components/basics.js";
import { Layout } from "../components/layout.js";
import { path, useResource } from "../lib/api.js";
import { moment } from "../lib/format.js";
import { html } from "../lib/html.js";

const KINDS = [
  { kind: "data", title: "Data", none: "No data assets, or none that you may see: apply a document of type uri_file or uri_folder." },
  { kind: "environment", title: "Environments", none: "No environments, or none that you may see." },
  { kind: "component", title: "Components", none: "No components, or none that you may see." },
];

export function AssetsPage() {
  const session = useResource("/v1/session");
  return html`<${Layout} title="Assets" section="Assets" crumbs=${[["Assets"]]}>
    <h1>Assets</h1>
    ${KINDS.map((each) => html`<${Kind} key=${each.kind} ...${each} />`)}
    ${session.error && html`<${Problem} error=${session.error} />`}
    ${session.data?.may_read_computes && html`<${Datastores} />`}
  <//>`;
}

function Kind({ kind, title, none }) {
  const assets = useResource(path`/v1/assets/${kind}`);
  return html`<${Card} title=${title}>
    <${Show} of=${assets} what=${`${title} cannot be read`}>${(found) => found.length
      ? html`<${Table} label=${title} columns=${["Name", "Newest", "Versions", "Type", "What it is"]}>
        ${found.map((asset) => html`<tr key=${asset.name}>
          <th scope="row" class="mono">${asset.name}</th>
          <td class="mono" data-label="newest">${asset.latest ? `azureml:${asset.name}:${asset.latest}` : "none"}</td>
          <td data-label="versions">${versions(asset)}</td>
          <td data-label="type">${asset.type ?? "–"}</td>
          <td>${asset.error ?? asset.description ?? ""}</td>
        </tr>`)}
      <//>`
      : html`<p class="empty">${none}</p>`}<//>
  <//>`;
}

/** Versions, newest first; archived ones say so. */
const versions = (asset) =>
  [...asset.versions].reverse().map((version) => (asset.archived.includes(version) ? `${version} (archived)` : version)).join(", ");

function Datastores() {
  const datastores = useResource("/v1/datastores");
  return html`<${Card} title="Data stores">
    <${Show} of=${datastores} what="The data stores cannot be read">${(found) => found.length
      ? html`<${Table} label="Data stores" columns=${["Name", "Type", "Connection", "Secret", "Changed"]}>
        ${found.map((store) => html`<tr key=${store.name}>
          <th scope="row" class="mono">${store.name}</th>
          <td data-label="type">${store.error ?? store.document.type}</td>
          <td class="mono" data-label="connection">${store.document?.conn_id ?? "–"}</td>
          <td class="mono" data-label="secret">${store.document?.secret_name ?? "–"}</td>
          <td class="nowrap">${store.updated_at ? moment(store.updated_at) : "–"}</td>
        </tr>`)}
      <//>`
      : html`<p class="empty">No data stores.</p>`}<//>
  <//>`;
}

const Card = ({ title, children }) => html`<section class="card" aria-label=${title}>
  <header><div class="heading"><h2>${title}</h2></div></header>
  ${children}
</section>`;

const Table = ({ label, columns, children }) => html`<div class="scroll" tabindex="0" role="region" aria-label=${`Table of ${label}`}><table>
  <thead><tr>${columns.map((name) => html`<th key=${name}>${name}</th>`)}</tr></thead>
  <tbody>${children}</tbody>
</table></div>`;
