// What a job's tasks do: its stages, its instances on a timeline, and how fast they are.
import { airflow, openInAirflow } from "../lib/airflow.js";
import { ago, duration, moment, number } from "../lib/format.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { ENDED, State, tone } from "./basics.js";
import { Chart, clock } from "./charts.js";
import { ShardTimeline } from "./shards.js";

const STAGES = {
  model: [
    { task: "plan", says: "lists the input and cuts it into shards" },
    { task: "score", says: "instances score shards" },
    { task: "publish", says: "writes the output, once" },
  ],
  pipeline: [
    { task: "plan", says: "checks the inputs and pins the job" },
    { task: "steps", says: "run, each after those it gets something from" },
    { task: "publish", says: "puts the outputs in their places, once" },
  ],
  dag: [
    { task: "plan", says: "checks the inputs and pins the job" },
    { task: "run", says: "of the other DAG" },
    { task: "publish", says: "confirms that it succeeded" },
  ],
};
const WITHOUT_LOG = ["score", "steps", "run"];
const ORDER = ["running", "restarting", "up_for_retry", "deferred", "queued", "scheduled", "failed", "upstream_failed", "success"];
const SAMPLES = 240;

/** What a job goes through: where it is. */
export const Stages = ({ job }) => html`<div class="stages">${STAGES[job.deployment_type].map(({ task, says }) => {
  const shown = stateOf(job, task);
  return html`<div key=${task} class="stage ${shown ? tone(shown) : ""}">
    <span class="heading"><span class="name">${task}</span>${shown && html`<span class="small muted">${shown}</span>`}</span>
    <span class="small muted">${says}</span>
    ${!WITHOUT_LOG.includes(task) && shown && html`<a class="small" href=${airflow.logs(job, task)} onClick=${openInAirflow} aria-label=${`Log of ${task}`}>Log</a>`}
  </div>`;
})}</div>`;

/** The one state that says most of a stage; null before it has any. */
function stateOf(job, stage) {
  const isOwn = (task) => task.startsWith("deployment-");
  const found = stage === "steps" || stage === "run" ? Object.entries(job.tasks).filter(([task]) => isOwn(task)).flatMap(([, states]) => states) : job.tasks[stage] ?? [];
  const state = ORDER.find((known) => found.includes(known)) ?? found[0] ?? null;
  return state === "None" ? null : state;
}

const rate = (value) => number(value < 10 ? Number(value.toFixed(2)) : Math.round(value));

/** Rows per second between two looks at a job that is running. */
export function Throughput({ job }) {
  const [samples, setSamples] = useState([]);
  const last = useRef(null);
  useEffect(() => {
    const rows = job.counts.rows ?? 0;
    const now = Date.now() / 1000;
    const before = last.current;
    if (before === null || rows < before.rows) {
      last.current = { now, rows };
    } else if (now - before.now >= 2) {
      last.current = { now, rows };
      setSamples((known) => [...known, { time: now, speed: (rows - before.rows) / (now - before.now) }].slice(-SAMPLES));
    }
  }, [job]);
  if (ENDED.includes(job.state) || samples.length < 3) {
    return null;
  }
  return html`<figure class="card"><header><h2>Rows per second</h2><span class="muted">since this page was opened</span></header>
    <div class="body"><${Chart} kind="line" tone="busy" height=${130} times=${samples.map((sample) => sample.time)} values=${samples.map((sample) => sample.speed)} when=${clock} say=${rate}
      label=${`Rows per second, now ${rate(samples.at(-1).speed)}`} /></div></figure>`;
}

/** What the starts of an instance hold now, as the job's directory knows it. */
function Work({ live }) {
  const held = live.filter((entry) => entry.working_on.length);
  if (!held.length) {
    return "–";
  }
  return held.map((entry) => {
    const shards = entry.working_on.length === 1 ? `shard ${entry.working_on[0]}` : `shards ${entry.working_on.slice(0, 6).join(", ")}${entry.working_on.length > 6 ? " …" : ""}`;
    return html`<div key=${entry.incarnation} title=${entry.seen ? `last sign of life ${moment(entry.seen)}` : undefined}>${shards}${entry.alone === null ? "" : `; item ${entry.alone} alone, for it may be what kills workers`}</div>`;
  });
}

/** The instances as the job's directory remembers them, once Airflow has forgotten its tasks. */
function remembered(progress) {
  const found = new Map();
  for (const start of progress?.instances ?? []) {
    const known = found.get(start.instance) ?? { instance: start.instance, tries: 0, shards_done: 0, succeeded: 0, failed: 0, rows: 0 };
    const sums = Object.fromEntries(["shards_done", "succeeded", "failed", "rows"].map((name) => [name, known[name] + start[name]]));
    found.set(start.instance, { ...known, ...sums, tries: known.tries + 1, state: start.state });
  }
  for (const span of progress?.spans ?? []) {
    const known = found.get(span.instance);
    if (known && span.started && !(new Date(known.started) < new Date(span.started))) {
      known.started = span.started;
    }
  }
  return [...found.values()];
}

/** How many attempts of an instance came to nothing, for it was lost or stopped. */
function Lost({ spans }) {
  return spans.length > 0 && html`<div class="small">${spans.length === 1 ? "an attempt was" : `${spans.length} attempts were`} lost</div>`;
}

/** The instances of a job: when each worked, and what it has done. */
export function Instances({ job, progress, instances: tasks = job.instances, task = "score", title = "Instances" }) {
  const instances = tasks.length ? tasks : remembered(progress);
  if (!instances.length) {
    return html`<p class="card empty">${ENDED.includes(job.state) ? "Nothing is known of its instances." : "No instance has started yet."}</p>`;
  }
  const isLive = progress?.source === "storage" && !ENDED.includes(job.state);
  return html`<section class="card" aria-label=${title}>
    <header><h2>${title}</h2><span class="muted">${instances.length}</span></header>
    <div class="body">${progress?.spans.length ? html`<${ShardTimeline} progress=${progress} />` : html`<${Timeline} instances=${instances} title=${title} />`}</div>
    <div class="scroll" tabindex="0" role="region" aria-label=${`Table of ${title}`}><table class="jobs">
      <thead><tr><th>Instance</th><th>State</th><th>Where</th>${isLive && html`<th>Works on</th>`}<th>Started</th><th class="number">Tries</th><th class="number">Shards</th><th class="number">Succeeded</th><th class="number">Failed</th><th class="number">Rows</th><th>Log</th></tr></thead>
      <tbody>${instances.map((instance) => html`<tr key=${instance.instance}>
        <th scope="row">${instance.instance}</th>
        <td><${State} state=${instance.state} /></td>
        <td data-label="on">${[instance.compute, instance.host].filter(Boolean).join(", ") || "–"}${instance.error && html`<div class="small" title=${instance.error}>${instance.error}</div>`}<${Lost} spans=${(progress?.spans ?? []).filter((span) => span.instance === instance.instance && span.state === "lost")} /></td>
        ${isLive && html`<td data-label="works on"><${Work} live=${progress.instances.filter((entry) => entry.instance === instance.instance)} /></td>`}
        <td data-label="started" class="nowrap" title=${moment(instance.started)}>${instance.started ? ago(instance.started) : "–"}</td>
        <td class="number" data-label="tries">${instance.tries}</td>
        <td class="number" data-label="shards">${number(instance.shards_done)}</td>
        <td class="number" data-label="succeeded">${number(instance.succeeded)}</td>
        <td class="number" data-label="failed">${number(instance.failed)}</td>
        <td class="number" data-label="rows">${number(instance.rows)}</td>
        <td class="nowrap">${tasks.length > 0 && html`<a href=${airflow.logs(job, task, instance.instance)} onClick=${openInAirflow} aria-label=${`Log of instance ${instance.instance}`}>Log</a>`}</td>
      </tr>`)}</tbody>
    </table></div>
  </section>`;
}

const [NARROWEST, ROW, LEFT, RIGHT, TOP] = [520, 22, 40, 12, 20];
const MOST = 40;

/** When each instance worked, from its task's start to its end, from the start of the first. */
function Timeline({ instances, title }) {
  const box = useRef(null);
  const [width, setWidth] = useState(960);
  const begun = instances.filter((instance) => instance.started);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.max(Math.floor(entry.contentRect.width), NARROWEST)));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, [begun.length > 0]);
  if (!begun.length) {
    return html`<p class="muted" ref=${box}>No instance has started yet.</p>`;
  }
  const shown = begun.slice(0, MOST);
  const first = Math.min(...begun.map((instance) => new Date(instance.started)));
  const end = (instance) => (instance.ended ? new Date(instance.ended) : Date.now());
  const last = Math.max(...begun.map((instance) => end(instance)), first + 1000);
  const place = (time) => LEFT + ((width - LEFT - RIGHT) * (time - first)) / (last - first);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => first + part * (last - first));
  const height = TOP + shown.length * ROW + 4;
  const label = `When each instance worked: ${begun.length} instances over ${duration((last - first) / 1000)}`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${`Timeline of ${title}`} ref=${box}><svg class="timeline" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${label}>
    ${ticks.map((time, i) => html`<g key=${i}><line class="grid" x1=${place(time)} x2=${place(time)} y1=${TOP - 4} y2=${height} />
      <text x=${place(time)} y="11" text-anchor=${i === 4 ? "end" : i ? "middle" : "start"}>${duration((time - first) / 1000)}</text></g>`)}
    ${shown.map((instance, i) => {
      const from = place(new Date(instance.started));
      return html`<g key=${instance.instance} class=${tone(instance.state)}><title>${`instance ${instance.instance}: ${instance.state}, ${instance.shards_done} shards, ${instance.rows} rows`}</title>
        <text x="4" y=${TOP + i * ROW + 14}>${instance.instance}</text>
        <rect class="bar ${instance.ended ? "" : "live"}" x=${from} y=${TOP + i * ROW + 3} width=${Math.max(place(end(instance)) - from, 3)} height=${ROW - 7} rx="3" /></g>`;
    })}
  </svg></div>${begun.length > MOST && html`<p class="muted small">The first ${MOST} of ${begun.length}; the table has all.</p>`}`;
}
