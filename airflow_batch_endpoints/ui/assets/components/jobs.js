// Jobs: as a strip of states, and as a table that pages on the server.
import { path, useResource, withQuery } from "../lib/api.js";
import { ago, duration, moment, number, short } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { ENDED, Link, Pager, Show, State, tone } from "./basics.js";

const SLOTS = 12;
const STATES = ["NotStarted", "Preparing", "Queued", "Running", "Finalizing", "CancelRequested", ...ENDED];
const PAGE = 25;
const LIVE = 4000;

export const jobPage = (endpoint, job) => path`/endpoints/${endpoint}/jobs/${job}`;

/** The newest jobs of an endpoint, oldest first: how each ended, and, as height, how long it ran. */
export function Strip({ endpoint, jobs }) {
  const longest = Math.max(...jobs.map((job) => job.seconds ?? 0), 1);
  const shown = jobs.slice(0, SLOTS).reverse();
  const free = Array.from({ length: SLOTS - shown.length }, (_, i) => i);
  return html`<div class="strip" role="group" aria-label=${`Newest jobs of ${endpoint}`}>
    ${free.map((i) => html`<span key=${i} class="none" aria-hidden="true"><i style=${{ height: "5px" }}></i></span>`)}
    ${shown.map((job) => {
      const told = [job.state, ago(job.created), job.seconds === null ? "" : duration(job.seconds), job.rows ? `${number(job.rows)} rows` : ""];
      const text = told.filter(Boolean).join(", ");
      const height = `${Math.round(25 + (75 * (job.seconds ?? 0)) / longest)}%`;
      return html`<${Link} key=${job.name} to=${jobPage(endpoint, job.name)} class=${tone(job.state)} title=${text} aria-label=${text}>
        <i style=${{ height }}></i>
      <//>`;
    })}
  </div>`;
}

/** A list of jobs, newest first, kept up to date; of one endpoint or of all. */
export function JobTable({ endpoint = null, deployments = [] }) {
  const [offset, setOffset] = useState(0);
  const [state, setState] = useState("");
  const [deployment, setDeployment] = useState("");
  const base = endpoint === null ? "/v1/jobs" : path`/v1/endpoints/${endpoint}/jobs`;
  const jobs = useResource(withQuery(base, { state, deployment, limit: PAGE, offset: offset || null }), () => LIVE);
  const choose = (set) => (event) => {
    set(event.currentTarget.value);
    setOffset(0);
  };
  return html`<section class="card" aria-label="Jobs">
    <header>
      <h2>Jobs</h2>
      <div class="actions">
        ${deployments.length > 1 && html`<select aria-label="Of this deployment" class="search" value=${deployment} onChange=${choose(setDeployment)}>
          <option value="">All deployments</option>
          ${deployments.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
        </select>`}
        <select aria-label="In this state" class="search" value=${state} onChange=${choose(setState)}>
          <option value="">All states</option>
          ${STATES.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
        </select>
      </div>
    </header>
    <div>
      <${Show} of=${jobs} what="The jobs cannot be read">${(page) => html`
        ${page.items.length ? html`<${Rows} jobs=${page.items} withEndpoint=${endpoint === null} />` : html`<p class="empty">${state || deployment ? "No such jobs." : "No jobs yet."}</p>`}
        <${Pager} page=${page} onOffset=${setOffset} of="jobs" />
      `}<//>
    </div>
  </section>`;
}

const Rows = ({ jobs, withEndpoint }) => html`<div class="scroll" tabindex="0" role="region" aria-label="Table of jobs"><table class="jobs">
  <thead><tr>
    <th>Job</th>${withEndpoint && html`<th>Endpoint</th>`}<th>State</th><th>Deployment</th><th>Invoked by</th><th>Created</th>
    <th class="number">Duration</th><th class="number">Items</th><th class="number">Failed</th><th class="number">Rows</th>
  </tr></thead>
  <tbody>${jobs.map((job) => html`<tr key=${`${job.endpoint}/${job.name}`}>
    <th scope="row"><${Link} class="mono" to=${jobPage(job.endpoint, job.name)}>${job.name}<//></th>
    ${withEndpoint && html`<td data-label="of"><${Link} to=${path`/endpoints/${job.endpoint}`}>${job.endpoint}<//></td>`}
    <td><${State} state=${job.state} /></td>
    <td data-label="with">${job.deployment ?? "–"}</td>
    <td data-label="by">${job.invoker ?? "–"}</td>
    <td class="nowrap" title=${moment(job.created)}>${ago(job.created)}</td>
    <td class="number" data-label="ran">${duration(job.seconds)}</td>
    <td class="number" data-label="items">${number(job.counts.listed)}</td>
    <td class="number" data-label="failed">${number(job.counts.failed)}</td>
    <td class="number" data-label="rows" title=${number(job.counts.rows)}>${short(job.counts.rows)}</td>
  </tr>`)}</tbody>
</table></div>`;
