// What a job consists of that is not of a model: the graph of a pipeline's steps, or the run of another DAG.
import { airflow, openInAirflow } from "../lib/airflow.js";
import { duration, moment } from "../lib/format.js";
import { arrange } from "../lib/graph.js";
import { html } from "../lib/html.js";
import { Copy, ENDED, Fact, Link, State, tone } from "./basics.js";
import { jobPage } from "./jobs.js";
import { Instances } from "./running.js";

const [WIDTH, HEIGHT, ACROSS, DOWN, EDGE, LINE] = [196, 58, 56, 18, 10, 12];
const LETTERS = 22;

const cut = (text) => (text.length > LETTERS ? `${text.slice(0, LETTERS - 1)}…` : text);

/** The steps of a pipeline job: how they hang together, how each is, and what it made. */
export const Steps = ({ job }) => html`
  <section class="card" aria-label="Graph of the pipeline"><header><h2>Graph</h2><span class="muted">each step after those it gets something from</span></header>
    <div class="body"><${Graph} steps=${job.steps} /></div></section>
  <${StepTable} job=${job} />
  ${job.steps.filter((step) => step.instances.length).map((step) => html`<${Instances} key=${step.name} job=${job} instances=${step.instances} task=${step.task.replace(/publish$/, "score")} title=${`Instances of ${step.name}`} />`)}`;

function Graph({ steps }) {
  const { columns, lines } = arrange(steps);
  const tall = (place) => (place.step ? HEIGHT : LINE);
  const tallest = (column) => column.reduce((sum, place) => sum + tall(place) + DOWN, -DOWN);
  const inner = Math.max(...columns.map(tallest));
  const at = new Map();
  columns.forEach((column, i) => {
    let y = EDGE + (inner - tallest(column)) / 2;
    for (const place of column) {
      at.set(place, { x: EDGE + i * (WIDTH + ACROSS), y, middle: y + tall(place) / 2 });
      y += tall(place) + DOWN;
    }
  });
  const [width, height] = [columns.length * (WIDTH + ACROSS) - ACROSS + 2 * EDGE, inner + 2 * EDGE];
  const told = steps.map((step) => `${step.name} ${step.reused_from ? "reused" : step.state}`).join(", ");
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Graph of the steps">
    <svg class="graph" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${`Steps: ${told}`}>
      ${lines.map((line, i) => html`<${Line} key=${i} points=${line.map((place) => at.get(place))} />`)}
      ${columns.flat().filter((place) => place.step).map((place) => html`<${Node} key=${place.step.name} step=${place.step} ...${at.get(place)} />`)}
    </svg></div>`;
}

const Node = ({ step, x, y }) => html`<g class="node ${tone(step.state)}" transform=${`translate(${x} ${y})`}>
  <title>${[step.name, step.state, step.seconds === null ? null : duration(step.seconds)].filter(Boolean).join(", ")}</title>
  ${step.is_parallel && html`<rect class="behind" x="5" y="-5" width=${WIDTH} height=${HEIGHT} rx="6" />`}
  <rect class="box ${step.reused_from ? "reused" : ""}" width=${WIDTH} height=${HEIGHT} rx="6" />
  <rect class="mark" width="5" height=${HEIGHT} rx="2.5" />
  <text class="name" x="16" y="24">${cut(step.name)}</text>
  <text class="what" x="16" y="43">${step.reused_from ? "Reused" : [step.state, step.seconds === null ? null : duration(step.seconds)].filter(Boolean).join(" · ")}</text>
</g>`;

/** A line from a step to one that waits for it, through the places it has in the columns between. */
function Line({ points }) {
  const first = points[0];
  let path = `M${first.x + WIDTH} ${first.middle}`;
  let [x, y] = [first.x + WIDTH, first.middle];
  points.slice(1).forEach((point, i) => {
    const isLast = i === points.length - 2;
    const [to, bend] = [point.x - (isLast ? 5 : 0), ACROSS / 2];
    path += `C${x + bend} ${y} ${to - bend} ${point.middle} ${to} ${point.middle}`;
    if (!isLast) {
      path += `h${WIDTH}`;
    }
    [x, y] = [point.x + WIDTH, point.middle];
  });
  const last = points.at(-1);
  return html`<path class="edge" d=${path} /><path class="point" d=${`M${last.x - 6} ${last.middle - 4}l6 4l-6 4z`} />`;
}

const StepTable = ({ job }) => html`<section class="card" aria-label="Steps">
  <header><h2>Steps</h2><span class="muted">${job.steps.length}</span></header>
  <div class="scroll" tabindex="0" role="region" aria-label="Table of steps"><table class="jobs">
    <thead><tr><th>Step</th><th>State</th><th>Where</th><th>Started</th><th class="number">Duration</th><th class="number">Tries</th><th>Outputs</th><th>Log</th></tr></thead>
    <tbody>${job.steps.map((step) => html`<tr key=${step.name}>
      <th scope="row" class="mono">${step.name}</th>
      <td><${State} state=${step.state} />
        ${step.reused_from && html`<div class="small">as ${step.reused_from.step === step.name ? "it was" : html`step <code>${step.reused_from.step}</code> was`} in <${Link} to=${jobPage(job.endpoint, step.reused_from.job)}>${step.reused_from.job}<//></div>`}
        ${step.error && html`<div class="small said" title=${step.error}>${step.error}</div>`}</td>
      <td data-label="on">${step.compute ?? "–"}</td>
      <td data-label="started" class="nowrap">${moment(step.started)}</td>
      <td class="number" data-label="ran">${duration(step.seconds)}</td>
      <td class="number" data-label="tries">${step.tries}</td>
      <td data-label=${Object.keys(step.outputs).length ? "made" : ""}>${Object.entries(step.outputs).map(([name, uri]) => html`<div key=${name} class="small"><span title=${uri}>${name}</span> <${Copy} text=${uri} class="quiet small" aria-label=${`Copy the URI of ${name} of ${step.name}`} /></div>`)}</td>
      <td class="nowrap">${step.tries > 0 && html`<a href=${airflow.logs(job, step.task)} onClick=${openInAirflow} aria-label=${`Log of step ${step.name}`}>Log</a>`}</td>
    </tr>`)}</tbody>
  </table></div>
</section>`;

/** The run of another DAG that a job consists of. */
export function OtherRun({ job }) {
  const { dag_id: dag, run_id: run, state } = job.other_run;
  return html`<section class="card" aria-label="The run of another DAG">
    <header><div class="heading"><h2>Run of DAG <code>${dag}</code></h2>${state && html`<${State} state=${state} />`}</div>
      ${run && html`<a class="button" href=${airflow.run({ dag_id: dag, run_id: run })} onClick=${openInAirflow}>That run</a>`}</header>
    <p class="body muted">${run ? html`This job is run <code>${run}</code>.` : ENDED.includes(job.state) ? "It was not started." : "It has not been started yet."}</p>
  </section>`;
}

/** What a job was given, and where its outputs go, by name. */
export const Given = ({ job }) => html`
  ${Object.entries(job.inputs).map(([name, value]) => html`<${Fact} key=${`input ${name}`} label=${`Input ${name}`}><span class="mono">${value === null ? "not given" : String(typeof value === "object" ? JSON.stringify(value) : value)}</span><//>`)}
  ${Object.entries(job.outputs).map(([name, output]) => html`<${Fact} key=${`output ${name}`} label=${`Output ${name}`}><span class="mono">${output.uri}</span> <${Copy} text=${output.uri} class="quiet small" aria-label=${`Copy the URI of output ${name}`} /><//>`)}`;
