// The exact documents that a job ran.
import { useResource } from "../lib/api.js";
import { moment } from "../lib/format.js";
import { html } from "../lib/html.js";
import { withoutNulls, yaml } from "../lib/yaml.js";
import { Code, Loading, Problem, Show } from "./basics.js";

export function Documents({ address, rights }) {
  const documents = useResource(rights?.may_read_documents ? `${address}/documents` : null);
  if (!rights) {
    return html`<${Loading} />`;
  }
  if (!rights.may_read_documents) {
    return html`<div class="notice"><strong>You may not see the documents.</strong><span>Reading them needs the right to read Variables.</span></div>`;
  }
  return html`<${Show} of=${documents} what="The documents cannot be read">${({ deployment, launch, request }) => html`
    <section class="card" aria-label="Deployment"><header><h2>Deployment${deployment ? ` ${deployment.name}` : ""}</h2>
      ${deployment && html`<span class="muted">revision <code>${deployment.revision}</code>${deployment.updated_by ? ` by ${deployment.updated_by}, ${moment(deployment.updated_at)}` : ""}</span>`}</header>
      ${deployment?.document
        ? html`<${Code} text=${yaml(withoutNulls(deployment.document))} label="deployment as it was" />`
        : html`<div class="body"><${Problem} error=${{ message: deployment?.error ?? "The job has pinned no deployment yet." }} what="Not known" /></div>`}</section>
    <section class="card" aria-label="Request"><header><h2>Request</h2><span class="muted">what was asked for</span></header><${Code} text=${yaml(request)} label="request" /></section>
    <section class="card" aria-label="Launch"><header><h2>Launch</h2><span class="muted">where and as whom its workers ran</span></header><${Code} text=${yaml(withoutNulls(launch))} label="launch" /></section>
  `}<//>`;
}
