// The REST interface, with the login that the browser has.
import { useCallback, useEffect, useRef, useState } from "./html.js";

const RETRIES = 3;
export const ROOT = document.documentElement.dataset.root;

/** An answer that is none: what the server said, in its own words. */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail);
    this.status = status;
    this.title = problem.title;
    this.errors = problem.errors ?? [];
  }
}

/** Make a path below the REST interface; every value in it is escaped. */
export function path(strings, ...values) {
  return strings.reduce((made, part, i) => made + encodeURIComponent(values[i - 1]) + part);
}

/** Add parameters to a path; those that are null, undefined or empty are left out. */
export function withQuery(base, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const entry of Array.isArray(value) ? value : [value]) {
      if (entry !== null && entry !== undefined && entry !== "") {
        query.append(name, entry);
      }
    }
  }
  const text = query.toString();
  return text ? `${base}?${text}` : base;
}

/** Send a request, and return what was answered. Throws an `ApiError`. */
export async function send(method, where, { body, headers = {}, signal } = {}) {
  let answer;
  try {
    answer = await fetch(ROOT + where, {
      method,
      signal,
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new ApiError(0, { title: "No answer", detail: "Airflow's API server does not answer. Is the network there?" });
  }
  const isJson = /[/+]json/.test(answer.headers.get("content-type") ?? "");
  const content = isJson ? await answer.json() : null;
  if (!answer.ok) {
    const fallback = { title: `Status ${answer.status}`, detail: `The server answered ${answer.status}.` };
    throw new ApiError(answer.status, { ...fallback, ...(typeof content?.detail === "string" ? content : {}) });
  }
  return content;
}

/**
 * Read something, again and again if asked to, while the page is looked at.
 *
 * What was read last stays while it is read again, and when reading fails.
 *
 * @param where path to read; null for nothing
 * @param every milliseconds between two readings, from what was read last; nothing to read it once
 */
export function useResource(where, every = () => null) {
  const [found, setFound] = useState({ data: null, error: null, isLoading: where !== null });
  const [turn, setTurn] = useState(0);
  const interval = useRef(every);
  interval.current = every;
  useEffect(() => {
    if (where === null) {
      setFound({ data: null, error: null, isLoading: false });
      return undefined;
    }
    const controller = new AbortController();
    let timer = null;
    let failures = 0;
    const read = async () => {
      let data = null;
      try {
        data = await send("GET", where, { signal: controller.signal });
        setFound({ data, error: null, isLoading: false });
        failures = 0;
      } catch (error) {
        if (error.name === "AbortError") {
          return;
        }
        setFound((before) => ({ data: before.data, error, isLoading: false }));
        failures = error.status === 0 || error.status === 503 ? failures + 1 : RETRIES + 1;
      }
      // A server that is busy is asked again, a few times; what is read again anyway is read again anyway.
      const pause = interval.current(data) ?? (failures > 0 && failures <= RETRIES ? 1000 * 2 ** failures : null);
      if (pause !== null && !controller.signal.aborted) {
        timer = setTimeout(next, pause);
      }
    };
    const next = () => (document.hidden ? (timer = setTimeout(next, 1000)) : read());
    setFound((before) => ({ ...before, isLoading: true }));
    read();
    return () => {
      controller.abort();
      clearTimeout(timer);
    };
  }, [where, turn]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  return { ...found, reload };
}
