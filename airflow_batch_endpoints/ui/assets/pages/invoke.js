// The form that starts a job, and beside it the same request in other words.
import { Code, Copy, Fact, Link, Problem, Show } from "../components/basics.js";
import { jobPage } from "../components/jobs.js";
import { Layout } from "../components/layout.js";
import { ROOT, path, send, useResource, withQuery } from "../lib/api.js";
import { html, useEffect, useId, useState } from "../lib/html.js";
import { invocation, invocationHeaders, isData, snippets } from "../lib/snippets.js";

const whole = (low, high) => (text) =>
  /^\d+$/.test(text) && Number(text) >= low && Number(text) <= high ? null : `A whole number from ${low.toLocaleString("en")} to ${high.toLocaleString("en")}`;
const uri = (text) => (/^[a-z][a-z0-9+.-]*:|^\//i.test(text) ? null : "A URI such as s3://bucket/folder or file:///data, or an absolute path");
const INPUT = { name: "input", label: "Input", isWide: true, isNeeded: true, hint: "URI of a folder, a file or a pattern", places: ["InputData"], check: uri };
const OUTPUT = { name: "output", label: "Output", isWide: true, hint: "URI of a folder; a folder of the job's own without it", places: ["OutputData"], check: uri };
const NAME = { name: "name", label: "Job name", hint: "Made up without it; the same name and request is the same job", places: ["name"], check: (text) => (/^[A-Za-z0-9][A-Za-z0-9_.~:+-]{0,249}$/.test(text) ? null : "Letters, digits, and _ . ~ : + -") };
const OVERRIDES = [
  { name: "instance_count", label: "Instances", from: (document) => document.resources?.instance_count, places: ["instanceCount"], check: whole(1, 1000) },
  { name: "mini_batch_size", label: "Mini-batch size", hint: "Files per call", from: (document) => document.settings?.mini_batch_size, places: ["miniBatchSize"], check: (text) => (/^[1-9]\d*$/.test(text) ? null : "A number of files, at least 1") },
  { name: "error_threshold", label: "Error threshold", hint: 'A number of items, a share such as "5%", or -1 for any', from: (document) => document.settings?.error_threshold, places: ["errorThreshold"], check: (text) => (/^(-1|\d+|(100|\d{1,2})(\.\d+)?\s*%)$/.test(text) ? null : 'A number, a share such as "5%", or -1') },
  { name: "max_retries", label: "Retries per mini-batch", from: (document) => document.settings?.retry_settings?.max_retries, places: ["maxRetries"], check: whole(0, 100) },
  { name: "timeout", label: "Timeout per mini-batch", hint: "Seconds", from: (document) => document.settings?.retry_settings?.timeout, places: ["timeout"], check: whole(1, 259200) },
  { name: "output_file_name", label: "Output file name", hint: "Ends in .csv, .parquet or .jsonl", from: (document) => document.settings?.output_file_name, places: ["outputFileName"], check: (text) => (/^[A-Za-z0-9][A-Za-z0-9 ._-]*\.(csv|parquet|jsonl)$/.test(text) ? null : "A plain name that ends in .csv, .parquet or .jsonl") },
];
const PARAMETERS = { name: "parameters", label: "Further parameters", isWide: true, hint: 'Of the DAG, as a JSON object such as {"day": "2024-01-01"}', places: ["InputData"], check: (text) => (asObject(text) ? null : "A JSON object") };

function asObject(text) {
  try {
    const found = JSON.parse(text);
    return found && typeof found === "object" && !Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

const CHECKS = {
  integer: (text) => (/^[+-]?\d+$/.test(text) ? null : "A whole number"),
  number: (text) => (text !== "" && Number.isFinite(Number(text)) ? null : "A number"),
};

/** The fields of a form for a deployment: a model's, or those that its own inputs and outputs make. */
function fieldsOf(deployment) {
  if (deployment?.type === "pipeline" || deployment?.type === "dag") {
    const inputs = Object.entries(deployment.inputs).map(([name, port]) => ({
      name: `inputs.${name}`, label: name, isWide: isData(port.type), isNeeded: port.required, places: [name],
      hint: [port.type, port.description].filter(Boolean).join(": "), shown: port.default,
      choices: port.enum ?? (port.type === "boolean" ? [true, false] : null),
      check: isData(port.type) ? uri : CHECKS[port.type] ?? (() => null),
    }));
    const outputs = Object.entries(deployment.outputs).map(([name, port]) => ({
      name: `outputs.${name}`, label: `Output ${name}`, isWide: true, places: [name], hint: `${port.type}; a folder of its name in the job's folder without it`, check: uri,
    }));
    return [...inputs, ...(deployment.type === "dag" ? [PARAMETERS] : outputs), NAME];
  }
  return [INPUT, OUTPUT, ...OVERRIDES, NAME];
}

export function InvokePage({ endpoint: name }) {
  const endpoint = useResource(path`/v1/endpoints/${name}`);
  const session = useResource(withQuery("/v1/session", { endpoint: name }));
  return html`<${Layout} title=${`Invoke ${name}`} section="Endpoints" crumbs=${[["Endpoints", "/"], [name, path`/endpoints/${name}`], ["Invoke"]]}>
    <h1>Invoke ${name}</h1>
    <${Show} of=${session} what="What you may do is not known">${({ endpoint: rights }) =>
      rights.may_invoke
        ? html`<${Show} of=${endpoint} what="This endpoint cannot be shown">${(found) => html`<${Form} endpoint=${found} rights=${rights} />`}<//>`
        : html`<div class="notice"><strong>You may not invoke this endpoint.</strong><span>That needs the right to trigger runs of its DAG. <${Link} to=${path`/endpoints/${name}`}>Back to the endpoint<//></span></div>`}<//>
  <//>`;
}

function Form({ endpoint, rights }) {
  const [fields, setFields] = useState({ deployment: "", input_type: "uri_folder" });
  const [touched, setTouched] = useState({});
  const [isSending, setIsSending] = useState(false);
  const [failure, setFailure] = useState(null);
  const [plan, setPlan] = useState({});
  const chosen = fields.deployment || endpoint.default;
  const deployment = endpoint.deployments.find((entry) => entry.name === chosen);
  const shown = fieldsOf(deployment);
  const isModel = shown.includes(INPUT);
  const document = useResource(rights.may_read_documents && chosen ? path`/v1/endpoints/${endpoint.name}/deployments/${chosen}` : null);
  const problems = Object.fromEntries(
    shown.map((field) => {
      const text = (fields[field.name] ?? "").trim();
      const problem = text ? field.check(text) : field.isNeeded ? "Needed" : null;
      return [field.name, problem];
    }).filter(([, problem]) => problem),
  );
  // What was filled in for another deployment stays in the form, and is not sent.
  const known = new Set(["deployment", "input_type", ...shown.map((field) => field.name)]);
  const asked = {
    ...Object.fromEntries(Object.entries(fields).filter(([name]) => known.has(name)).map(([name, value]) => [name, value.trim()])),
    ports: Object.entries(deployment?.inputs ?? {}).map(([name, port]) => ({ name, type: port.type })),
    places: Object.keys(deployment?.outputs ?? {}),
  };
  asked.parameters = asObject(asked.parameters);
  const isValid = Object.keys(problems).length === 0;
  const key = JSON.stringify(asked);
  useEffect(() => {
    if (!isValid) {
      setPlan({});
      return undefined;
    }
    // The server's own check, which starts nothing: where data may lie, whether the deployment is there, what it may override.
    const controller = new AbortController();
    const timer = setTimeout(async () => {
      const where = path`/v1/endpoints/${endpoint.name}/dry-run`;
      try {
        setPlan({ job: (await send("POST", where, { body: invocation(asked), headers: invocationHeaders(asked), signal: controller.signal })).job });
      } catch (error) {
        if (error.name !== "AbortError") {
          setPlan({ error });
        }
      }
    }, 400);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [key, isValid]);
  const set = (name) => (event) => {
    setFields({ ...fields, [name]: event.currentTarget.value });
    setFailure(null);
  };
  const refused = (field) => (failure ?? plan.error)?.errors.find((entry) => field.places.some((place) => entry.field.split(".").includes(place)));
  const start = async (event) => {
    event.preventDefault();
    setTouched(Object.fromEntries(shown.map((field) => [field.name, true])));
    if (!isValid || isSending) {
      return;
    }
    setIsSending(true);
    try {
      const job = await send("POST", path`/v1/endpoints/${endpoint.name}/jobs`, { body: invocation(asked), headers: invocationHeaders(asked) });
      location.assign(`${ROOT}/ui${jobPage(endpoint.name, job.name)}`);
    } catch (error) {
      setFailure(error);
      setIsSending(false);
    }
  };
  const ready = plan.job ? "good" : "";
  return html`<div class="columns">
    <form class="card" onSubmit=${start} noValidate aria-label="Invocation">
      <div class="body stack">
        <div class="fields">
          <${Choice} label="Deployment" value=${fields.deployment} onChange=${set("deployment")}
            options=${[["", endpoint.default ? `${endpoint.default} (the default)` : "the default: none is set"], ...endpoint.deployments.filter((entry) => entry.name !== endpoint.default).map((entry) => [entry.name, entry.name])]} />
          ${isModel && html`<${Choice} label="Input is" value=${fields.input_type} onChange=${set("input_type")} options=${[["uri_folder", "a folder, or files by a pattern"], ["uri_file", "one file"]]} />`}
          ${shown.map((field) => field.choices
            ? html`<${Choice} key=${field.name} label=${field.label} value=${fields[field.name] ?? ""} onChange=${set(field.name)} options=${[["", field.shown === null || field.shown === undefined ? "–" : `${field.shown} (the default)`], ...field.choices.map((choice) => [String(choice), String(choice)])]} />`
            : html`<${Field} key=${field.name} field=${field} value=${fields[field.name] ?? ""} placeholder=${field.shown ?? (document.data?.document && field.from ? field.from(document.data.document) : undefined)}
            problem=${(touched[field.name] && problems[field.name]) || refused(field)?.message} onInput=${set(field.name)} onLeave=${() => setTouched({ ...touched, [field.name]: Boolean(fields[field.name]) })} />`)}
        </div>
        ${(failure ?? plan.error) && html`<${Problem} error=${failure ?? plan.error} what=${failure ? "The job was not started" : "It would be refused"} />`}
        ${plan.job && html`<div class="notice good" role="status"><strong>Ready to start.</strong><dl class="facts">
          ${isModel && html`<${Fact} label="Model"><span class="mono">${plan.job.deployment?.model?.path ?? plan.job.model_uri ?? "–"}</span><//>`}
          <${Fact} label="Output">${plan.job.output_uri ?? "a folder of its own"}<//></dl></div>`}
        <div class="actions"><button class="primary ${ready}" disabled=${isSending}>${isSending ? "Starting …" : "Start the job"}</button>
          <${Link} class="button" to=${path`/endpoints/${endpoint.name}`}>Cancel<//></div>
      </div>
    </form>
    <${Words} endpoint=${endpoint} fields=${isModel ? { ...asked, input: asked.input || "s3://bucket/folder" } : asked} />
  </div>`;
}

function Field({ field, value, placeholder, problem, onInput, onLeave }) {
  const id = useId();
  const told = [field.hint && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(" ");
  return html`<div class="field ${field.isWide ? "wide" : ""}">
    <label for=${id}>${field.label}${field.isNeeded ? "" : html` <span class="muted small">optional</span>`}</label>
    <input id=${id} name=${field.name} value=${value} placeholder=${placeholder} autocomplete="off" spellcheck=${false} aria-required=${field.isNeeded ? "true" : undefined}
      aria-invalid=${problem ? "true" : undefined} aria-describedby=${told || undefined} onInput=${onInput} onBlur=${onLeave} />
    ${problem && html`<span class="problem" id=${`${id}-problem`}>${problem}</span>`}
    ${field.hint && html`<span class="hint" id=${`${id}-hint`}>${field.hint}</span>`}
  </div>`;
}

function Choice({ label, value, options, onChange }) {
  const id = useId();
  return html`<div class="field"><label for=${id}>${label}</label>
    <select id=${id} value=${value} onChange=${onChange}>${options.map(([name, text]) => html`<option key=${name} value=${name}>${text}</option>`)}</select></div>`;
}

/** The same request in other words, as the form stands. */
function Words({ endpoint, fields }) {
  const all = snippets(endpoint.name, endpoint.scoring_uri, fields);
  const [open, setOpen] = useState(all[0].name);
  const shown = all.find((snippet) => snippet.name === open);
  return html`<section class="card" aria-label="The same in other words">
    <header><h2>The same in other words</h2>
      <select class="search" aria-label="In which words" value=${open} onChange=${(event) => setOpen(event.currentTarget.value)}>
        ${all.map((snippet) => html`<option key=${snippet.name} value=${snippet.name}>${snippet.name}</option>`)}
      </select></header>
    <${Code} text=${shown.text} label=${shown.name} />
    <div class="body actions"><span class="label">Scoring URI</span><code>${endpoint.scoring_uri}</code><${Copy} text=${endpoint.scoring_uri} aria-label="Copy the scoring URI" class="quiet" /></div>
  </section>`;
}
