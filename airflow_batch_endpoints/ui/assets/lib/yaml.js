// Writes values as YAML: what JSON has, in block style.
const PLAIN = /^[A-Za-z_/][A-Za-z0-9_./@+-]*(:\/[A-Za-z0-9_./@+-]*)?$/;
const WORDS = /^(true|false|yes|no|on|off|null|y|n)$/i;

function scalar(value) {
  if (typeof value !== "string") {
    return JSON.stringify(value ?? null);
  }
  return PLAIN.test(value) && !WORDS.test(value) ? value : JSON.stringify(value);
}

function isNested(value) {
  return value !== null && typeof value === "object" && Object.keys(value).length > 0;
}

function empty(value) {
  return Array.isArray(value) ? "[]" : value !== null && typeof value === "object" ? "{}" : scalar(value);
}

function lines(value) {
  if (!isNested(value)) {
    return [empty(value)];
  }
  if (Array.isArray(value)) {
    return value.flatMap((entry) => lines(entry).map((line, i) => (i ? "  " : "- ") + line));
  }
  return Object.entries(value).flatMap(([name, entry]) =>
    isNested(entry) ? [`${scalar(name)}:`, ...lines(entry).map((line) => `  ${line}`)] : [`${scalar(name)}: ${empty(entry)}`],
  );
}

/** Return a document without the fields that it leaves open. */
export function withoutNulls(value) {
  if (Array.isArray(value)) {
    return value.map(withoutNulls);
  }
  if (value === null || typeof value !== "object") {
    return value;
  }
  return Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== null).map(([name, entry]) => [name, withoutNulls(entry)]));
}

/** Return a value as YAML. */
export const yaml = (value) => lines(value).join("\n");
