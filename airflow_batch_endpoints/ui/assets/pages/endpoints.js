// All endpoints, each with how its jobs went lately.
import { Link, Pager, Problem, Show } from "../components/basics.js";
import { Chart, lastDays } from "../components/charts.js";
import { Strip } from "../components/jobs.js";
import { Layout } from "../components/layout.js";
import { path, useResource, withQuery } from "../lib/api.js";
import { number, percent, short } from "../lib/format.js";
import { html, useEffect, useState } from "../lib/html.js";

const PAGE = 25;
const DAYS = 30;
const LIVE = 10000;

export function EndpointsPage() {
  const [typed, setTyped] = useState("");
  const [contains, setContains] = useState("");
  const [offset, setOffset] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => {
      setContains(typed.trim());
      setOffset(0);
    }, 250);
    return () => clearTimeout(timer);
  }, [typed]);
  const endpoints = useResource(withQuery("/v1/endpoints", { contains, limit: PAGE, offset: offset || null }), () => LIVE);
  const names = endpoints.data?.items.map((endpoint) => endpoint.name) ?? [];
  const statistics = useResource(names.length ? withQuery("/v1/statistics", { endpoint: names, days: DAYS }) : null, () => LIVE);
  return html`<${Layout} title="Endpoints" section="Endpoints" crumbs=${[["Endpoints"]]}>
    <div class="top">
      <h1>Endpoints</h1>
      <input class="search" type="search" maxlength="32" placeholder="Find by name" aria-label="Find endpoints by name" value=${typed}
        onInput=${(event) => setTyped(event.currentTarget.value)} />
    </div>
    <${Show} of=${endpoints} what="The endpoints cannot be read">${(page) => html`
      ${page.items.length ? html`<ul class="endpoints">
        ${page.items.map((endpoint) => html`<${Row} key=${endpoint.name} endpoint=${endpoint} statistics=${statistics.data?.[endpoint.name]} />`)}
      </ul>` : html`<${None} contains=${contains} />`}
      ${page.total > page.limit && html`<div class="card"><${Pager} page=${page} onOffset=${setOffset} of="endpoints" /></div>`}
      ${statistics.error && html`<${Problem} error=${statistics.error} what="How jobs went lately cannot be read" />`}
    `}<//>
  <//>`;
}

const None = ({ contains }) => html`<div class="card empty">
  ${contains ? html`<p>No endpoint with “${contains}” in its name that you may read.</p>` : html`
    <h2>No endpoints yet</h2>
    <p>Apply the documents of an endpoint and a deployment, and it appears here:</p>
    <code>airflow batch-endpoints apply -f endpoint.yml -f deployment.yml --set-default</code>`}
</div>`;

function Row({ endpoint, statistics }) {
  const page = path`/endpoints/${endpoint.name}`;
  return html`<li class="card endpoint">
    <div class="what">
      <div class="heading"><${Link} class="name" to=${page}>${endpoint.name}<//>
        ${Object.entries(endpoint.tags).map(([name, value]) => html`<span key=${name} class="tag">${name}: ${value}</span>`)}
      </div>
      ${endpoint.error ? html`<${Problem} error=${{ message: endpoint.error }} what="Its document cannot be read" />` : html`<span class="muted">${endpoint.description}</span>`}
    </div>
    <div><div class="label">Default deployment</div>${endpoint.default ? html`<strong>${endpoint.default}</strong>` : html`<span class="muted">none</span>`}
      ${endpoint.deployments.length > 1 && html`<span class="muted small"> of ${endpoint.deployments.length}</span>`}</div>
    <div><div class="label">Newest jobs</div><${Strip} endpoint=${endpoint.name} jobs=${endpoint.recent_jobs} /></div>
    <${Trend} days=${statistics?.days} />
    <div class="actions"><${Link} class="button" to=${`${page}/invoke`} aria-label=${`Invoke ${endpoint.name}`}>Invoke<//></div>
  </li>`;
}

/** Rows scored day by day, and how many jobs completed. */
function Trend({ days }) {
  if (!days) {
    return html`<div></div><div></div>`;
  }
  const all = lastDays(days, DAYS);
  const sum = (name) => all.reduce((total, day) => total + day[name], 0);
  const [rows, completed, failed] = ["rows", "completed", "failed"].map(sum);
  return html`<div><div class="label">Rows, ${DAYS} days</div><div class="spark">
      <${Chart} isBare height=${36} times=${all.map((day) => day.time)} values=${all.map((day) => day.rows)} say=${short} label=${`Rows per day for ${DAYS} days, ${number(rows)} in all`} />
      <strong title=${`${number(rows)} rows`}>${short(rows)}</strong>
    </div></div>
    <div title=${`${completed} completed, ${failed} failed`}><div class="label">Success</div><strong>${percent(completed, completed + failed)}</strong></div>`;
}
