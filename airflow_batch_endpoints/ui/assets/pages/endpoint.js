// One endpoint: its deployments side by side, its jobs, and how to invoke it.
import { Code, Confirm, Copy, Fact, Link, Loading, Problem, Show, Tabs } from "../components/basics.js";
import { Chart, lastDays } from "../components/charts.js";
import { JobTable, Strip } from "../components/jobs.js";
import { Revisions } from "../components/revisions.js";
import { Layout } from "../components/layout.js";
import { airflow, openInAirflow } from "../lib/airflow.js";
import { path, send, useResource, withQuery } from "../lib/api.js";
import { compare } from "../lib/compare.js";
import { ago, moment, number, percent, short } from "../lib/format.js";
import { html, useState } from "../lib/html.js";
import { snippets } from "../lib/snippets.js";
import { yaml } from "../lib/yaml.js";

const LIVE = 8000;
const DAYS = 30;
const SAYS_NOTHING = ["name", "endpoint_name"];

export function EndpointPage({ endpoint: name }) {
  const endpoint = useResource(path`/v1/endpoints/${name}`, () => LIVE);
  const session = useResource(withQuery("/v1/session", { endpoint: name }));
  const rights = session.data?.endpoint;
  const tabs = [{ id: "overview", name: "Overview" }, { id: "deployments", name: "Deployments" }, { id: "history", name: "History" }, { id: "use", name: "Use it" }];
  return html`<${Layout} title=${name} section="Endpoints" crumbs=${[["Endpoints", "/"], [name]]}>
    <${Show} of=${endpoint} what="This endpoint cannot be shown">${(found) => html`
      <${Header} endpoint=${found} rights=${rights} />
      ${session.error && html`<${Problem} error=${session.error} what="What you may do is not known" />`}
      <${Tabs} label="About the endpoint" tabs=${tabs} panel=${(open) => ({
        overview: () => html`<${Activity} name=${name} /><${JobTable} endpoint=${name} deployments=${found.deployments.map((entry) => entry.name)} />`,
        deployments: () => html`<${Deployments} endpoint=${found} rights=${rights} onChange=${endpoint.reload} />`,
        history: () => html`<${History} endpoint=${found} rights=${rights} onChange=${endpoint.reload} />`,
        use: () => html`<${Use} endpoint=${found} />`,
      })[open]()} />
    `}<//>
  <//>`;
}

function Header({ endpoint, rights }) {
  const mayInvoke = rights?.may_invoke !== false;
  const why = !mayInvoke ? "You have no right to invoke this endpoint." : !endpoint.is_invokable ? "Its DAG is not there yet; this takes a moment after the first apply." : null;
  return html`<section class="card" aria-label="Endpoint">
    <header>
      <div class="heading"><h1>${endpoint.name}</h1>${Object.entries(endpoint.tags).map(([name, value]) => html`<span key=${name} class="tag">${name}: ${value}</span>`)}</div>
      <div class="actions">
        <a class="button" href=${airflow.dag(endpoint.name)} onClick=${openInAirflow}>DAG</a>
        ${why ? html`<button type="button" class="primary" disabled title=${why}>Invoke</button>` : html`<${Link} class="button primary" to=${path`/endpoints/${endpoint.name}/invoke`}>Invoke<//>`}
      </div>
    </header>
    <div>
      ${endpoint.error && html`<div class="body"><${Problem} error=${{ message: endpoint.error }} what="Its document cannot be read" /></div>`}
      ${why && html`<div class="body"><div class="notice">${why}</div></div>`}
      <dl class="facts">
        ${endpoint.description && html`<${Fact} label="Description">${endpoint.description}<//>`}
        <${Fact} label="Default deployment">${endpoint.default ?? "none"}<//>
        <${Fact} label="Deployments">${endpoint.deployments.length}<//>
        <${Fact} label="Newest jobs"><${Strip} endpoint=${endpoint.name} jobs=${endpoint.recent_jobs} /><//>
        ${endpoint.updated_by && html`<${Fact} label="Changed"><span title=${moment(endpoint.updated_at)}>${ago(endpoint.updated_at)} by ${endpoint.updated_by}</span><//>`}
      </dl>
    </div>
  </section>`;
}

function Activity({ name }) {
  const statistics = useResource(withQuery(path`/v1/endpoints/${name}/statistics`, { days: DAYS }), () => 3 * LIVE);
  return html`<${Show} of=${statistics} what="How its jobs went cannot be read">${({ days }) => {
    const all = lastDays(days, DAYS);
    const sum = (key) => all.reduce((total, day) => total + day[key], 0);
    const times = all.map((day) => day.time);
    const judged = all.filter((day) => day.completed + day.failed > 0);
    const [completed, failed, canceled] = ["completed", "failed", "canceled"].map(sum);
    const rate = (day) => (100 * day.completed) / (day.completed + day.failed);
    return html`<div class="columns">
      <figure class="card"><header><h2>Rows scored</h2><span class="muted">${number(sum("rows"))} in ${DAYS} days</span></header>
        <div class="body"><${Chart} times=${times} values=${all.map((day) => day.rows)} say=${short} label=${`Rows scored per day for ${DAYS} days: ${number(sum("rows"))} in all`} /></div></figure>
      <figure class="card"><header><h2>Jobs that completed</h2><span class="muted">${percent(completed, completed + failed)}: ${completed} completed, ${failed} failed${canceled ? `, ${canceled} canceled` : ""}</span></header>
        <div class="body">${judged.length
          ? html`<${Chart} kind="line" tone="good" times=${times} values=${all.map((day) => (judged.includes(day) ? rate(day) : null))} range=${[0, 105]} say=${(value) => `${Math.round(value)} %`}
              label=${`Share of jobs that completed per day for ${DAYS} days: ${percent(completed, completed + failed)} in all`} />`
          : html`<p class="empty">No job has ended in the last ${DAYS} days.</p>`}</div></figure>
    </div>`;
  }}<//>`;
}

// -- deployments ------------------------------------------------------------------------------------------------------

function Deployments({ endpoint, rights, onChange }) {
  const mayRead = rights?.may_read_documents;
  const documents = useResource(mayRead ? path`/v1/endpoints/${endpoint.name}/deployments` : null);
  const [asked, setAsked] = useState(null);
  const [failure, setFailure] = useState(null);
  const setDefault = async (deployment) => {
    try {
      // Only if nobody has changed the endpoint since it was shown.
      const headers = endpoint.revision ? { "If-Match": `"${endpoint.revision}"` } : {};
      await send("PUT", path`/v1/endpoints/${endpoint.name}/default`, { body: { deployment }, headers });
      setFailure(null);
    } catch (error) {
      setFailure(error);
    }
    onChange();
  };
  if (!rights) {
    return html`<${Loading} />`;
  }
  const names = mayRead ? (documents.data ?? []) : endpoint.deployments;
  return html`
    ${failure && html`<${Problem} error=${failure} what="The default was not changed" />`}
    <div class="columns">${names.map((deployment) => html`<${Deployment} key=${deployment.name} deployment=${deployment} endpoint=${endpoint} rights=${rights} onDefault=${setAsked} />`)}</div>
    ${!mayRead
      ? html`<div class="notice"><strong>You may not see the documents.</strong><span>Reading them needs the right to read Variables.</span></div>`
      : html`<${Show} of=${documents} what="The deployments cannot be read">${(found) => html`
          ${!found.length && html`<p class="card empty">No deployments yet.</p>`}
          ${found.length > 1 && html`<${Comparison} deployments=${found} base=${Math.max(found.findIndex((entry) => entry.name === endpoint.default), 0)} />`}
          ${found.filter((entry) => entry.document).map((entry) => html`<section class="card" key=${entry.name}><header><h2>Document of ${entry.name}</h2></header><${Code} text=${yaml(entry.document)} label=${`document of ${entry.name}`} /></section>`)}
        `}<//>`}
    ${asked && html`<${Confirm} title=${`Make ${asked} the default?`} action="Make it the default" onConfirm=${() => setDefault(asked)} onClose=${() => setAsked(null)}>
      Invocations that name no deployment will run <strong>${asked}</strong>${endpoint.default ? html` instead of <strong>${endpoint.default}</strong>` : ""}. Running jobs are not touched.
    <//>`}`;
}

function Deployment({ deployment, endpoint, rights, onDefault }) {
  const document = deployment.document;
  const isDefault = deployment.name === endpoint.default;
  const compute = document?.compute ?? deployment.compute ?? "the default";
  const change = isDefault
    ? html`<span class="state good">Default</span>`
    : html`<button type="button" disabled=${!rights.may_edit_documents} title=${rights.may_edit_documents ? undefined : "Needs the right to edit Variables"} onClick=${() => onDefault(deployment.name)}>Make default</button>`;
  return html`<section class="card" aria-label=${`Deployment ${deployment.name}`}>
    <header><div class="heading"><h2>${deployment.name}</h2></div><div class="actions">${change}</div></header>
    ${deployment.error
      ? html`<div class="body"><${Problem} error=${{ message: deployment.error }} what="Its document cannot be read" /></div>`
      : html`<dl class="facts">
          ${document?.description && html`<${Fact} label="Description">${document.description}<//>`}
          ${document?.model && html`<${Fact} label="Model"><span class="mono">${document.model.path}</span><//>`}
          <${Fact} label="Compute">${compute}<//>
          ${document?.resources && html`<${Fact} label="Instances">${document.resources.instance_count}<//>`}
          ${document?.settings && html`<${Fact} label="Mini-batch">${document.settings.mini_batch_size} ${document.settings.mini_batch_size === 1 ? "file" : "files"}<//>`}
          ${deployment.updated_by && html`<${Fact} label="Changed"><span title=${moment(deployment.updated_at)}>${ago(deployment.updated_at)} by ${deployment.updated_by}</span><//>`}
        </dl>`}
  </section>`;
}

/** Each deployment against the default: what is written otherwise is marked. */
function Comparison({ deployments, base }) {
  const [onlyDifferent, setOnlyDifferent] = useState(true);
  const fields = compare(deployments.map((entry) => entry.document), SAYS_NOTHING);
  const different = fields.filter((field) => field.differs);
  const shown = onlyDifferent ? different : fields;
  return html`<section class="card" aria-label="Differences">
    <header>
      <h2>Side by side</h2>
      <div class="actions"><span class="muted">${different.length} of ${fields.length} fields differ</span>
        <button type="button" aria-pressed=${String(!onlyDifferent)} onClick=${() => setOnlyDifferent(!onlyDifferent)}>${onlyDifferent ? "Show all fields" : "Show differences only"}</button></div>
    </header>
    <div class="scroll" tabindex="0" role="region" aria-label="Deployments side by side">
      ${shown.length ? html`<table class="compare">
        <thead><tr><th>Field</th>${deployments.map((entry) => html`<th key=${entry.name}>${entry.name}${entry.name === deployments[base].name ? html` <span class="muted">(compared with)</span>` : ""}</th>`)}</tr></thead>
        <tbody>${shown.map((field) => html`<tr key=${field.name} class=${field.differs ? "differs" : ""}>
          <th scope="row">${field.name}</th>
          ${field.values.map((value, i) => html`<td key=${i} class=${`${value === null ? "absent" : ""} ${deployments[i].document && value !== field.values[base] ? "differs" : ""}`}>${value ?? "not set"}</td>`)}
        </tr>`)}</tbody></table>` : html`<p class="empty">Their documents say the same.</p>`}
    </div>
  </section>`;
}

// -- history ----------------------------------------------------------------------------------------------------------

function History({ endpoint, rights, onChange }) {
  const [chosen, setChosen] = useState("");
  const isThere = endpoint.deployments.some((entry) => entry.name === chosen);
  if (!rights) {
    return html`<${Loading} />`;
  }
  if (!rights.may_read_documents) {
    return html`<div class="notice"><strong>You may not see the documents.</strong><span>Reading them needs the right to read Variables.</span></div>`;
  }
  const address = isThere ? path`/v1/endpoints/${endpoint.name}/deployments/${chosen}` : path`/v1/endpoints/${endpoint.name}`;
  return html`
    <div class="actions"><select aria-label="Of which document" class="search" value=${chosen} onChange=${(event) => setChosen(event.currentTarget.value)}>
      <option value="">The endpoint itself</option>
      ${endpoint.deployments.map((entry) => html`<option key=${entry.name} value=${entry.name}>${`Deployment ${entry.name}`}</option>`)}
    </select></div>
    <${Revisions} key=${address} address=${address} name=${isThere ? chosen : endpoint.name} mayEdit=${rights.may_edit_documents} why="Needs the right to edit Variables" onChange=${onChange} />`;
}

// -- using it ---------------------------------------------------------------------------------------------------------

function Use({ endpoint }) {
  const fields = { input: "s3://bucket/folder", input_type: "uri_folder" };
  return html`
    <section class="card"><header><h2>Scoring URI</h2><${Copy} text=${endpoint.scoring_uri} aria-label="Copy the scoring URI" /></header>
      <div class="body"><code>${endpoint.scoring_uri}</code></div></section>
    <div class="notice"><span>A token comes from <code>POST /auth/token</code> of this Airflow. What it may do is decided by Airflow's permissions; the job's invoker is who the token belongs to.</span></div>
    ${snippets(endpoint.name, endpoint.scoring_uri, fields).map((snippet) => html`<section class="card" key=${snippet.name}>
      <header><h2>${snippet.name}</h2></header><${Code} text=${snippet.text} label=${snippet.name} /></section>`)}`;
}
