// From the address to the page.
import { ROOT } from "./lib/api.js";
import { html, render } from "./lib/html.js";
import { AssetsPage } from "./pages/assets.js";
import { ComputesPage } from "./pages/computes.js";
import { EndpointPage } from "./pages/endpoint.js";
import { EndpointsPage } from "./pages/endpoints.js";
import { InvokePage } from "./pages/invoke.js";
import { JobPage } from "./pages/job.js";
import { JobsPage } from "./pages/jobs.js";
import { NothingPage } from "./pages/nothing.js";
import { RunPage } from "./pages/run.js";

const PAGES = [
  [/^\/$/, EndpointsPage],
  [/^\/jobs$/, JobsPage],
  [/^\/assets$/, AssetsPage],
  [/^\/computes$/, ComputesPage],
  [/^\/run$/, RunPage],
  [/^\/endpoints\/(?<endpoint>[^/]+)$/, EndpointPage],
  [/^\/endpoints\/(?<endpoint>[^/]+)\/invoke$/, InvokePage],
  [/^\/endpoints\/(?<endpoint>[^/]+)\/jobs\/(?<job>[^/]+)$/, JobPage],
];

function decoded(value) {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

const here = location.pathname.slice(`${ROOT}/ui`.length).replace(/\/+$/, "") || "/";
const [pattern, Page] = PAGES.find(([known]) => known.test(here)) ?? [null, NothingPage];
const names = Object.entries(pattern?.exec(here).groups ?? {}).map(([name, value]) => [name, decoded(value)]);
const app = document.getElementById("app");
app.replaceChildren();
render(html`<${Page} ...${Object.fromEntries(names)} />`, app);
