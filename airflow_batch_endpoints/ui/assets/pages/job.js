// One job: how far it is, what its instances do, what failed, what it made, and what it ran.
import { Confirm, Copy, ENDED, Fact, Link, Problem, Show, State, Tabs } from "../components/basics.js";
import { Given, OtherRun, Steps } from "../components/pipeline.js";
import { Instances, Stages, Throughput } from "../components/running.js";
import { Failures } from "../components/failures.js";
import { Output } from "../components/output.js";
import { Documents } from "../components/documents.js";
import { Layout } from "../components/layout.js";
import { airflow, modelPage, openElsewhere, openInAirflow } from "../lib/airflow.js";
import { path, send, useResource, withQuery } from "../lib/api.js";
import { ago, duration, moment, number, percent } from "../lib/format.js";
import { html, useState } from "../lib/html.js";

const LIVE = 2500;
const LAST_WORDS = 15000;

export const JobPage = ({ endpoint, job }) => html`<${Layout} title=${job} section="Endpoints" crumbs=${[["Endpoints", "/"], [endpoint, path`/endpoints/${endpoint}`], [job]]}>
  <${JobView} endpoint=${endpoint} name=${job} />
<//>`;

/** Everything about a job; also the tab on its DAG run. */
export function JobView({ endpoint, name, isTab = false }) {
  const address = path`/v1/endpoints/${endpoint}/jobs/${name}`;
  // For some moments after its end the tasks of a job may still say something.
  const job = useResource(address, (found) => {
    const isOver = found && ENDED.includes(found.state) && Date.now() - new Date(found.ended ?? 0) > LAST_WORDS;
    return isOver ? null : LIVE;
  });
  // Storage may be slow or out of reach: then the page does without, and asks less often.
  const progress = useResource(job.data?.output && job.data.deployment_type === "model" ? `${address}/progress` : null, (found) => {
    const isOver = !job.data || ENDED.includes(job.data.state);
    return isOver ? null : found?.source === "storage" ? 2 * LIVE : 8 * LIVE;
  });
  const session = useResource(withQuery("/v1/session", { endpoint }));
  return html`<${Show} of=${job} what="This job cannot be shown">${(found) => html`<div class="stack">
    <${Header} job=${found} session=${session.data} isTab=${isTab} onChange=${job.reload} />
    <${Progress} job=${found} progress=${progress.data} />
    <${Tabs} label="About the job" tabs=${[
      WORK[found.deployment_type](found),
      (found.deployment_type === "model" || found.steps.some((step) => step.is_parallel)) && { id: "failures", name: "Failures", count: found.counts.failed },
      { id: "output", name: "Output" },
      { id: "documents", name: "What it ran" },
    ]} panel=${(open) => ({
      work: () => html`<${Work} job=${found} progress=${progress.data} />`,
      failures: () => html`<${Failures} address=${address} job=${found} rights=${session.data?.endpoint} />`,
      output: () => html`<${Output} address=${address} job=${found} />`,
      documents: () => html`<${Documents} address=${address} rights=${session.data?.endpoint} />`,
    })[open]()} />
  </div>`}<//>`;
}

const WORK = {
  model: (job) => ({ id: "work", name: "Instances", count: job.instances.length }),
  pipeline: (job) => ({ id: "work", name: "Steps", count: job.steps.length }),
  dag: () => ({ id: "work", name: "Run" }),
};

function Work({ job, progress }) {
  if (job.deployment_type === "pipeline") {
    return html`<${Steps} job=${job} />`;
  }
  return job.deployment_type === "dag" ? html`<${OtherRun} job=${job} />` : html`<${Throughput} job=${job} /><${Instances} job=${job} progress=${progress} />`;
}

function Header({ job, session, isTab, onChange }) {
  const [isAsked, setIsAsked] = useState(false);
  const [failure, setFailure] = useState(null);
  const mayCancel = session?.endpoint?.may_cancel;
  const model = modelPage(session?.mlflow_uri, job.model);
  const cancel = async () => {
    try {
      await send("POST", path`/v1/endpoints/${job.endpoint}/jobs/${job.name}/cancel`);
      setFailure(null);
    } catch (error) {
      setFailure(error);
    }
    onChange();
  };
  const isOver = ENDED.includes(job.state);
  return html`<section class="card" aria-label="Job">
    <header>
      <div class="heading"><h1 class="mono">${job.name}</h1><${State} state=${job.state} /></div>
      <div class="actions">
        ${!isTab && html`<a class="button" href=${airflow.run(job)} onClick=${openInAirflow}>DAG run</a>`}
        ${isTab && html`<${Link} class="button" to=${path`/endpoints/${job.endpoint}`}>Endpoint<//>`}
        ${!isOver && session && html`<button type="button" class="danger" disabled=${!mayCancel || job.state === "CancelRequested"} title=${mayCancel ? undefined : "Needs the right to edit runs of the endpoint's DAG"} onClick=${() => setIsAsked(true)}>Cancel the job</button>`}
      </div>
    </header>
    <div>
      ${failure && html`<div class="body"><${Problem} error=${failure} what="The job was not canceled" /></div>`}
      ${job.error && html`<div class="body"><div class="notice ${job.state === "Failed" ? "bad" : "warn"}" role="status"><strong>${job.state === "Failed" ? "Why it failed" : "Note"}</strong><span>${job.error}</span></div></div>`}
      <dl class="facts">
        <${Fact} label="Endpoint"><${Link} to=${path`/endpoints/${job.endpoint}`}>${job.endpoint}<//><//>
        <${Fact} label="Deployment">${job.deployment ?? "–"}<//>
        ${job.deployment_type === "model" && html`<${Fact} label="Model">${model ? html`<a href=${model} target="_blank" rel="noopener noreferrer" onClick=${openElsewhere}>${job.model}</a>` : html`<span class="mono">${job.model ?? "–"}</span>`}<//>`}
        <${Fact} label="Invoked by">${job.invoker ?? "–"}<//>
        <${Fact} label="Created"><span title=${moment(job.created)}>${ago(job.created)}</span><//>
        <${Fact} label=${isOver ? "Ran for" : "Running for"}>${duration(job.seconds)}<//>
        <${Fact} label="Compute">${job.compute ?? "–"}<//>
        ${job.submission > 0 && html`<${Fact} label="Cleared">${job.submission} ${job.submission === 1 ? "time" : "times"}<//>`}
        ${job.replay_of && html`<${Fact} label="Replay of"><${Link} to=${path`/endpoints/${job.endpoint}/jobs/${job.replay_of}`}>${job.replay_of}<//><//>`}
        ${job.deployment_type === "model" && html`<${Fact} label="Input"><span class="mono">${job.input ?? "–"}</span><//>`}
        <${Given} job=${job} />
        <${Fact} label=${job.deployment_type === "model" ? "Output" : "Folder"}><span class="mono">${job.output ?? "–"}</span> ${job.output && html`<${Copy} text=${job.output} class="quiet small" aria-label="Copy the output's URI" />`}<//>
      </dl>
    </div>
    ${isAsked && html`<${Confirm} title="Cancel this job?" action="Cancel the job" onConfirm=${cancel} onClose=${() => setIsAsked(false)}>
      Its workers are stopped and nothing is published. Clearing its DAG run later goes on from where it was.
    <//>`}
  </section>`;
}

/** How far a job is: what its run says and what its directory says, whichever is ahead. */
function counts(job, progress) {
  const said = job.counts;
  if (job.state === "Completed" || progress?.source !== "storage") {
    return said;
  }
  const failed = Math.max(said.failed ?? 0, progress.items_failed ?? 0);
  const ended = Math.max((said.succeeded ?? 0) + (said.failed ?? 0), progress.items_done ?? 0);
  return {
    listed: said.listed ?? progress.items, failed, succeeded: ended - failed, rows: Math.max(said.rows ?? 0, progress.rows ?? 0),
    shards: progress.shards, shards_done: Math.max(said.shards_done ?? 0, progress.shards_done ?? 0),
  };
}

const Progress = ({ job, progress }) => html`<section class="card" aria-label="Progress">
  <${Stages} job=${job} />
  ${job.deployment_type === "model" && html`<${ItemProgress} job=${job} progress=${progress} />`}
  ${job.deployment_type === "pipeline" && html`<${StepProgress} steps=${job.steps} />`}
</section>`;

/** A share as a bar. */
function Meter({ label, done, failed, all, text }) {
  const share = (part) => `${all ? (100 * (part ?? 0)) / all : 0}%`;
  return html`<div class="meter" role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax=${all ?? 0} aria-valuenow=${(done ?? 0) + (failed ?? 0)} aria-valuetext=${text}>
    <i class="good" style=${{ width: share(done) }}></i><i class="bad" style=${{ width: share(failed) }}></i></div>`;
}

function StepProgress({ steps }) {
  const count = (...states) => steps.filter((step) => states.includes(step.state)).length;
  const [done, failed, reused] = [count("Completed"), count("Failed"), steps.filter((step) => step.reused_from).length];
  return html`<div class="progress">
      <div class="heading"><span class="big">${done} of ${steps.length}</span><span class="muted">steps completed${reused ? `, ${reused} of them reused` : ""}${failed ? `, ${failed} failed` : ""}</span></div>
      <${Meter} label="Steps done" done=${done} failed=${failed} all=${steps.length} text=${`${done} completed, ${failed} failed, of ${steps.length}`} />
    </div>`;
}

function ItemProgress({ job, progress }) {
  const { listed, succeeded, failed, rows, shards, shards_done: done } = counts(job, progress);
  const ended = (succeeded ?? 0) + (failed ?? 0);
  const isOver = ENDED.includes(job.state);
  return html`<div class="progress">
      <div class="heading"><span class="big">${listed ? percent(ended, listed) : "–"}</span>
        <span class="muted">${listed ? `${number(ended)} of ${number(listed)} items` : "The input has not been listed yet"}${!isOver && job.seconds_left ? ` · about ${duration(job.seconds_left)} left` : ""}</span></div>
      <${Meter} label="Items done" done=${succeeded} failed=${failed} all=${listed} text=${`${number(succeeded)} succeeded, ${number(failed)} failed, of ${number(listed)}`} />
    </div>
    <dl class="facts">
      <${Fact} label="Succeeded">${number(succeeded)}<//>
      <${Fact} label="Failed">${number(failed)}<//>
      ${progress?.mini_batches ? html`<${Fact} label="Mini-batches">${progress.mini_batches_done === null ? number(progress.mini_batches) : `${number(progress.mini_batches_done)} of ${number(progress.mini_batches)}`}<//>` : null}
      <${Fact} label="Shards">${done === null || done === undefined ? "–" : `${number(done)} of ${number(shards)}`}<//>
      <${Fact} label="Rows">${number(rows)}<//>
      <${Fact} label="Rows per second">${job.rows_per_second === null ? "–" : number(job.rows_per_second)}<//>
      ${!isOver && html`<${Fact} label="Time left">${job.seconds_left === null ? "–" : duration(job.seconds_left)}<//>`}
    </dl>
    ${!isOver && progress?.source === "run" && html`<p class="body muted small">This is what the run says, a little behind. Its directory tells more, but: ${progress.note}.</p>`}`;
}
