// Documents side by side: one line for each field, and which of them differ.

function leaves(value, name, found) {
  if (value !== null && typeof value === "object" && !Array.isArray(value)) {
    for (const [key, entry] of Object.entries(value)) {
      leaves(entry, name ? `${name}.${key}` : key, found);
    }
    return found;
  }
  found.set(name, Array.isArray(value) ? JSON.stringify(value) : String(value));
  return found;
}

/**
 * Return the fields of documents, in the order in which they come first.
 *
 * @param documents objects; null for one that cannot be read
 * @param ignored names of fields that always differ and say nothing
 * @returns [{ name, values, differs }]
 */
export function compare(documents, ignored = []) {
  const found = documents.map((document) => leaves(document ?? {}, "", new Map()));
  const names = [...new Set(found.flatMap((fields) => [...fields.keys()]))].filter((name) => name && !ignored.includes(name));
  return names.map((name) => {
    const values = found.map((fields) => fields.get(name) ?? null);
    const known = values.filter((_, i) => documents[i]);
    return { name, values, differs: new Set(known).size > 1 };
  });
}
