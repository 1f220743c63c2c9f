// The items of a job that failed for good, grouped by how.
import { ROOT, path, send, useResource, withQuery } from "../lib/api.js";
import { number } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { Code, Confirm, ENDED, Problem, Show } from "./basics.js";
import { jobPage } from "./jobs.js";
import { Download } from "./output.js";

const PAGE = 50;
const LIVE = 10000;

export function Failures({ address, job, rights }) {
  const [offset, setOffset] = useState(0);
  const isOver = ENDED.includes(job.state);
  // Those of a pipeline's steps are files of their own, and no job scores them again.
  const isWhole = job.state === "Completed" && job.deployment_type === "model";
  const letters = useResource(job.output ? withQuery(`${address}/dead-letters`, { limit: PAGE, offset: offset || null }) : null, () => (isOver ? null : LIVE));
  if (!job.output) {
    return html`<p class="card empty">The job has no output yet, so nothing is known of failed items.</p>`;
  }
  return html`<${Show} of=${letters} what="The failed items cannot be read">${(found) =>
    !found.groups.length
      ? html`<p class="card empty">${job.counts.failed ? "Failed items are told when their shard is committed." : isOver ? "No item has failed." : "No item has failed so far."}</p>`
      : html`
        <section class="card" aria-label="Failures by error">
          <header><h2>By error</h2><span class="actions"><span class="muted">${found.total === null ? "too many to read all" : `${number(found.total)} failed ${found.total === 1 ? "item" : "items"}`}</span>
            ${isWhole && html`<${Replay} job=${job} rights=${rights} />`}
            ${isWhole && html`<${Download} address=${address} name="dead_letters.jsonl" label="Download all" />`}</span></header>
          <ul class="groups">${found.groups.map((group, i) => html`<li key=${`${group.error_type} ${group.message}`}><${Group} group=${group} isOpen=${i === 0} /></li>`)}</ul>
        </section>
        <${Letters} found=${found} offset=${offset} onOffset=${setOffset} />`
  }<//>`;
}

/** Scores the failed items again: a job of its own. */
function Replay({ job, rights }) {
  const [isAsked, setIsAsked] = useState(false);
  const [deployment, setDeployment] = useState("");
  const [failure, setFailure] = useState(null);
  const endpoint = useResource(isAsked ? path`/v1/endpoints/${job.endpoint}` : null);
  const names = endpoint.data?.deployments.map((entry) => entry.name) ?? [];
  const replay = async () => {
    try {
      const headers = deployment ? { "azureml-model-deployment": deployment } : {};
      const started = await send("POST", path`/v1/endpoints/${job.endpoint}/jobs`, { body: { properties: { replayOf: job.name } }, headers });
      location.assign(`${ROOT}/ui${jobPage(job.endpoint, started.name)}`);
    } catch (error) {
      setFailure(error);
    }
  };
  return html`
    <button type="button" disabled=${!rights?.may_invoke} title=${rights?.may_invoke ? undefined : "Needs the right to trigger runs of the endpoint's DAG"} onClick=${() => setIsAsked(true)}>Replay</button>
    ${failure && html`<${Problem} error=${failure} what="The replay was not started" />`}
    ${isAsked && html`<${Confirm} title="Score the failed items again?" action="Replay" onConfirm=${replay} onClose=${() => setIsAsked(false)}>
      A new job scores the ${number(job.counts.failed)} failed items of <strong>${job.name}</strong> with
      <select aria-label="With this deployment" class="search" value=${deployment} onChange=${(event) => setDeployment(event.currentTarget.value)}>
        <option value="">the default deployment</option>
        ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select>
      Their inputs are read again; the output of this job stays as it is.
    <//>`}`;
}

const Group = ({ group, isOpen }) => html`<details open=${isOpen}>
  <summary><span class="count">${number(group.count)}</span><strong>${group.error_type}</strong><span class="muted">${group.message}</span></summary>
  <div class="body">
    ${group.traceback && html`<div><div class="label">Traceback of the first</div><${Code} text=${group.traceback} label=${`traceback of ${group.error_type}`} /></div>`}
    <div><div class="label">${group.items.length < group.count ? `The first ${group.items.length} of ${number(group.count)} items` : "Items"}</div>
      <ul class="files">${group.items.map((item) => html`<li key=${item}>${item}</li>`)}</ul></div>
  </div>
</details>`;

function Letters({ found, offset, onOffset }) {
  const columns = [...(found.items.some((letter) => letter.step) ? ["step"] : []), "item", "error_type", "message", "attempts"];
  const hasMore = found.total === null ? found.items.length === PAGE : offset + found.items.length < found.total;
  return html`<section class="card" aria-label="Dead letters">
    <header><h2>Dead letters</h2></header>
    <div class="scroll" tabindex="0" role="region" aria-label="Table of dead letters"><table>
      <thead><tr>${columns.map((name) => html`<th key=${name}>${name.replace("_", " ")}</th>`)}</tr></thead>
      <tbody>${found.items.map((letter, i) => html`<tr key=${i}>${columns.map((name) => html`<td key=${name} class=${name === "item" ? "mono" : ""}>${letter[name] === undefined ? "–" : String(letter[name])}</td>`)}</tr>`)}</tbody>
    </table></div>
    <nav class="pager" aria-label="Pages of dead letters"><span class="muted">${offset + 1}–${offset + found.items.length}${found.total === null ? "" : ` of ${number(found.total)}`}</span>
      <span class="actions"><button type="button" disabled=${!offset} onClick=${() => onOffset(Math.max(0, offset - PAGE))}>Previous</button>
      <button type="button" disabled=${!hasMore} onClick=${() => onOffset(offset + PAGE)}>Next</button></span></nav>
  </section>`;
}
