// Where jobs run.
import { Code, Fact, Loading, Problem, Show } from "../components/basics.js";
import { Revisions } from "../components/revisions.js";
import { Layout } from "../components/layout.js";
import { path, useResource } from "../lib/api.js";
import { moment } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { yaml } from "../lib/yaml.js";

export function ComputesPage() {
  const session = useResource("/v1/session");
  const computes = useResource(session.data?.may_read_computes ? "/v1/computes" : null);
  return html`<${Layout} title="Computes" section="Computes" crumbs=${[["Computes"]]}>
    <h1>Computes</h1>
    ${session.data && !session.data.may_read_computes
      ? html`<div class="notice"><strong>You may not see computes.</strong><span>They decide under which accounts jobs run, so reading them needs the right to read Connections.</span></div>`
      : session.error
        ? html`<${Problem} error=${session.error} />`
        : !session.data
          ? html`<${Loading} />`
          : html`<${Show} of=${computes} what="The computes cannot be read">${(found) => found.map((compute) => html`<${Compute} key=${compute.name} compute=${compute} mayEdit=${session.data.may_edit_computes} onChange=${computes.reload} />`)}<//>`}
  <//>`;
}

function Compute({ compute, mayEdit, onChange }) {
  const [isOpen, setIsOpen] = useState(false);
  return html`<section class="card" aria-label=${`Compute ${compute.name}`}>
  <header><div class="heading"><h2>${compute.name}</h2>${compute.document && html`<span class="tag">${compute.document.type}</span>`}</div>
    ${compute.updated_by && html`<div class="actions"><button type="button" aria-expanded=${String(isOpen)} aria-label=${`History of ${compute.name}`} onClick=${() => setIsOpen(!isOpen)}>History</button></div>`}</header>
  ${compute.error
    ? html`<div class="body"><${Problem} error=${{ message: compute.error }} what="Its document cannot be read" /></div>`
    : html`<dl class="facts">
        ${compute.updated_by && html`<${Fact} label="Changed by">${compute.updated_by}<//><${Fact} label="Changed">${moment(compute.updated_at)}<//>`}
        ${compute.revision && html`<${Fact} label="Revision"><span class="mono">${compute.revision}</span><//>`}
        ${!compute.updated_by && html`<${Fact} label="Document">built in, until one of this name is applied<//>`}
      </dl>
      <${Code} text=${yaml(compute.document)} label=${`document of ${compute.name}`} />`}
</section>
${isOpen && html`<${Revisions} address=${path`/v1/computes/${compute.name}`} name=${compute.name} mayEdit=${mayEdit} why="Needs the right to edit Connections" onChange=${onChange} />`}`;
}
