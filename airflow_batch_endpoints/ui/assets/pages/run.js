// The tab on the page of a DAG run: its job, if it is the run of an endpoint.
import { html } from "../lib/html.js";
import { JobView } from "./job.js";

const PREFIX = "batch_endpoint.";

export function RunPage() {
  const query = new URLSearchParams(location.search);
  const dag = query.get("dag_id") ?? "";
  if (!dag.startsWith(PREFIX)) {
    return html`<main class="page"><div class="card empty"><h1>Not a batch job</h1>
      <p>This tab shows the jobs of batch endpoints, whose DAGs are named <code>${PREFIX}…</code>; this run belongs to <code>${dag}</code>.</p></div></main>`;
  }
  return html`<main class="page"><${JobView} endpoint=${dag.slice(PREFIX.length)} name=${query.get("run_id") ?? ""} isTab /></main>`;
}
