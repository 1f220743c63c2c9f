// What else than these pages invokes an endpoint: the same request in other words.
import { yaml } from "./yaml.js";

const OVERRIDES = ["instance_count", "mini_batch_size", "error_threshold", "output_file_name", "max_retries", "timeout"];

const quoted = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
const literal = (value) => JSON.stringify(value);
const whole = (text) => (/^-?\d+$/.test(String(text)) ? Number(text) : text);

const DATA = { uri_folder: "UriFolder", uri_file: "UriFile", mlflow_model: "MLFlowModel", custom_model: "CustomModel" };

/** Tell whether an input of a type is data, not a value. */
export const isData = (type) => type in DATA;

/** The value of a text, as the type of an input has it. */
export function valueOf(type, text) {
  if (type === "boolean") {
    return text === "true";
  }
  return type === "integer" || type === "number" ? Number(text) : text;
}

/** The inputs that have names: pairs of name and `{type, path}` or value. */
export const namedInputs = (fields) =>
  (fields.ports ?? []).filter(({ name }) => fields[`inputs.${name}`]).map(({ name, type }) => {
    const text = fields[`inputs.${name}`];
    return [name, isData(type) ? { type, path: text } : valueOf(type, text)];
  });

/** The outputs that have names: pairs of name and URI. */
export const namedOutputs = (fields) =>
  (fields.places ?? []).filter((name) => fields[`outputs.${name}`]).map((name) => [name, fields[`outputs.${name}`]]);

/** Return the body of an invocation from the fields of the form. */
export function invocation(fields) {
  const properties = { InputData: {}, OutputData: {} };
  if (fields.input) {
    properties.InputData.input = { JobInputType: fields.input_type === "uri_file" ? "UriFile" : "UriFolder", Uri: fields.input };
  }
  for (const [name, given] of [...namedInputs(fields), ...Object.entries(fields.parameters ?? {})]) {
    properties.InputData[name] = isData(given?.type) && given.path ? { JobInputType: DATA[given.type], Uri: given.path } : { JobInputType: "Literal", Value: given };
  }
  if (fields.output) {
    properties.OutputData.output = { JobOutputType: "UriFolder", Uri: fields.output };
  }
  for (const [name, uri] of namedOutputs(fields)) {
    properties.OutputData[name] = { JobOutputType: "UriFolder", Uri: uri };
  }
  for (const group of ["InputData", "OutputData"]) {
    if (!Object.keys(properties[group]).length) {
      delete properties[group];
    }
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

const told = (given) => (given?.path ? `.path=${given.path}` : `=${typeof given === "object" ? JSON.stringify(given) : given}`);

function commandLine(endpoint, fields, settings) {
  const parts = [
    `airflow batch-endpoints invoke ${endpoint}`,
    ...(fields.input ? [`--input ${quoted(fields.input)}`] : []),
    ...(fields.input_type === "uri_file" ? ["--input-type uri_file"] : []),
    ...(fields.deployment ? [`--deployment ${quoted(fields.deployment)}`] : []),
    ...(fields.output ? [`--output ${quoted(fields.output)}`] : []),
    ...[...namedInputs(fields), ...Object.entries(fields.parameters ?? {})].map(([name, given]) => `--set ${quoted(`inputs.${name}${told(given)}`)}`),
    ...namedOutputs(fields).map(([name, uri]) => `--set ${quoted(`outputs.${name}.path=${uri}`)}`),
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

/** Plain data as Python writes it. */
function pythonText(value) {
  if (value === null || typeof value === "boolean") {
    return { null: "None", true: "True", false: "False" }[value];
  }
  if (Array.isArray(value)) {
    return `[${value.map(pythonText).join(", ")}]`;
  }
  return typeof value === "object" ? `{${Object.entries(value).map(([name, entry]) => `${literal(name)}: ${pythonText(entry)}`).join(", ")}}` : literal(value);
}

function dagTask(endpoint, fields, settings) {
  const parameters = [
    ["task_id", "score"],
    ["endpoint", endpoint],
    ...(fields.input ? [["input_data", fields.input]] : []),
    ...(fields.deployment ? [["deployment", fields.deployment]] : []),
    ...(fields.output ? [["output_uri", fields.output]] : []),
  ].map(([name, value]) => `    ${name}=${literal(value)},`);
  const inputs = [...namedInputs(fields), ...Object.entries(fields.parameters ?? {})];
  const named = [["inputs", Object.fromEntries(inputs)], ["outputs", Object.fromEntries(namedOutputs(fields))]]
    .filter(([, found]) => Object.keys(found).length)
    .map(([name, found]) => `    ${name}=${pythonText(found)},`);
  const overrides = settings.length
    ? [`    settings={${settings.map(([name, value]) => `${literal(name)}: ${literal(value)}`).join(", ")}},`]
    : [];
  return [
    "from airflow_batch_endpoints.operators.invoke import BatchInvokeOperator",
    "",
    "score = BatchInvokeOperator(",
    ...parameters,
    ...named,
    ...overrides,
    "    deferrable=True,",
    ")",
  ].join("\n");
}
