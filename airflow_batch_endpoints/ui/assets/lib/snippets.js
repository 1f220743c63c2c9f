// What else than these pages invokes an endpoint: the same request in other words.
import { yaml } from "./yaml.js";

const OVERRIDES = ["instance_count", "mini_batch_size", "error_threshold", "output_file_name", "max_retries", "timeout"];

const quoted = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
const literal = (value) => JSON.stringify(value);
const whole = (text) => (/^-?\d+$/.test(String(text)) ? Number(text) : text);

/** Return the body of an invocation from the fields of the form. */
export function invocation(fields) {
  const properties = {
    InputData: { data: { JobInputType: fields.input_type === "uri_file" ? "UriFile" : "UriFolder", Uri: fields.input } },
  };
  if (fields.output) {
    properties.OutputData = { score: { JobOutputType: "UriFolder", Uri: fields.output } };
  }
  const plain = { mini_batch_size: "miniBatchSize", error_threshold: "errorThreshold", output_file_name: "outputFileName" };
  for (const [name, azure] of Object.entries(plain)) {
    if (fields[name]) {
      properties[azure] = name === "output_file_name" ? fields[name] : whole(fields[name]);
    }
  }
  const retries = {
    ...(fields.max_retries ? { maxRetries: whole(fields.max_retries) } : {}),
    ...(fields.timeout ? { timeout: /^\d+$/.test(fields.timeout) ? `PT${fields.timeout}S` : fields.timeout } : {}),
  };
  if (Object.keys(retries).length) {
    properties.retrySettings = retries;
  }
  if (fields.instance_count) {
    properties.compute = { instanceCount: whole(fields.instance_count) };
  }
  if (fields.name) {
    properties.name = fields.name;
  }
  return { properties };
}

/** Return the headers of an invocation. */
export const invocationHeaders = (fields) => (fields.deployment ? { "azureml-model-deployment": fields.deployment } : {});

/** Return the ways to say an invocation, each with its name. */
export function snippets(endpoint, uri, fields) {
  const body = invocation(fields);
  const headers = { ...invocationHeaders(fields), "Content-Type": "application/json" };
  const settings = OVERRIDES.filter((name) => fields[name]).map((name) => [name, whole(fields[name])]);
  return [
    { name: "curl", text: curl(uri, headers, body) },
    { name: "YAML", text: `# curl --data-binary @job.yml -H "Content-Type: application/yaml" ...\n${yaml(body)}` },
    { name: "Command line", text: commandLine(endpoint, fields, settings) },
    { name: "Python", text: python(uri, headers, body) },
    { name: "DAG task", text: dagTask(endpoint, fields, settings) },
  ];
}

function curl(uri, headers, body) {
  const parts = [
    `curl ${quoted(uri)}`,
    `-H "Authorization: Bearer $AIRFLOW_TOKEN"`,
    ...Object.entries(headers).map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    `-d ${quoted(JSON.stringify(body, null, 2))}`,
  ];
  return parts.join(" \\\n  ");
}

function commandLine(endpoint, fields, settings) {
  const parts = [
    `airflow batch-endpoints invoke ${endpoint}`,
    `--input ${quoted(fields.input)}`,
    ...(fields.input_type === "uri_file" ? ["--input-type uri_file"] : []),
    ...(fields.deployment ? [`--deployment ${quoted(fields.deployment)}`] : []),
    ...(fields.output ? [`--output ${quoted(fields.output)}`] : []),
    ...settings.map(([name, value]) => `--set ${quoted(`${name}=${value}`)}`),
    ...(fields.name ? [`--job-name ${quoted(fields.name)}`] : []),
    "--wait",
  ];
  return parts.join(" \\\n  ");
}

function python(uri, headers, body) {
  const own = Object.entries(headers).filter(([name]) => name !== "Content-Type");
  return `import os

import requests

job = requests.post(
    ${literal(uri)},
    headers={"Authorization": f"Bearer {os.environ['AIRFLOW_TOKEN']}"${own.map(([name, value]) => `, ${literal(name)}: ${literal(value)}`).join("")}},
    json=${JSON.stringify(body, null, 4).replaceAll("\n", "\n    ")},
    timeout=60,
)
job.raise_for_status()
print(job.json()["name"], job.json()["state"])`;
}

function dagTask(endpoint, fields, settings) {
  const parameters = [
    ["task_id", "score"],
    ["endpoint", endpoint],
    ["input_data", fields.input],
    ...(fields.deployment ? [["deployment", fields.deployment]] : []),
    ...(fields.output ? [["output_uri", fields.output]] : []),
  ].map(([name, value]) => `    ${name}=${literal(value)},`);
  const overrides = settings.length
    ? [`    settings={${settings.map(([name, value]) => `${literal(name)}: ${literal(value)}`).join(", ")}},`]
    : [];
  return [
    "from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator",
    "",
    "score = BatchInvokeOperator(",
    ...parameters,
    ...overrides,
    "    deferrable=True,",
    ")",
  ].join("\n");
}
