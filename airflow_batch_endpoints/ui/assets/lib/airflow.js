// Ways from these pages, which stand in a frame, to Airflow's own pages around it.
import { ROOT } from "./api.js";

const AIRFLOW = ROOT.replace(/\/batch-endpoints$/, "");

function outer() {
  try {
    return window.parent !== window && window.parent.document ? window.parent : null;
  } catch {
    return null;
  }
}

/** Addresses of Airflow's pages. */
export const airflow = {
  run: (job) => `${AIRFLOW}/dags/${encodeURIComponent(job.dag_id)}/runs/${encodeURIComponent(job.run_id)}`,
  dag: (endpoint) => `${AIRFLOW}/dags/${encodeURIComponent(`batch_endpoint.${endpoint}`)}`,
  logs: (job, task, instance) =>
    `${airflow.run(job)}/tasks/${encodeURIComponent(task)}${instance === undefined ? "" : `/mapped/${instance}`}`,
  login: () => `${AIRFLOW}/api/v2/auth/login?next=${encodeURIComponent((outer() ?? window).location.href)}`,
};

/** Go to a page of Airflow. The frame may not move the window around it, so its router is told. */
export function openInAirflow(event) {
  const around = outer();
  if (!around || event.ctrlKey || event.metaKey || event.shiftKey) {
    return;
  }
  event.preventDefault();
  around.history.pushState(null, "", event.currentTarget.href);
  around.dispatchEvent(new PopStateEvent("popstate", { state: null }));
}

/** Leave for good, as for the login. */
export function leave(event) {
  const around = outer();
  if (around) {
    event.preventDefault();
    click(around.document, event.currentTarget.href);
  }
}

/** Open another site in a tab of its own, which a frame may not, but the page around it may. */
export function openElsewhere(event) {
  const around = outer();
  if (around) {
    event.preventDefault();
    click(around.document, event.currentTarget.href, "_blank");
  }
}

function click(page, href, target = "_self") {
  const link = page.createElement("a");
  Object.assign(link, { href, target, rel: "noopener noreferrer" });
  link.click();
}

/** Return the page of a model in MLflow, or null where there is none. */
export function modelPage(mlflow, model) {
  const registered = /^models:\/([^/@]+)\/(\d+)$/.exec(model ?? "");
  const run = /^runs:\/([0-9a-zA-Z]+)\//.exec(model ?? "");
  if (!/^https?:\/\//.test(mlflow ?? "") || !(registered || run)) {
    return null;
  }
  const place = registered
    ? `models/${encodeURIComponent(decodeURIComponent(registered[1]))}/versions/${registered[2]}`
    : `runs/${run[1]}`;
  return `${mlflow.replace(/\/$/, "")}/#/${place}`;
}
