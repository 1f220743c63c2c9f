// The jobs of all endpoints.
import { JobTable } from "../components/jobs.js";
import { Layout } from "../components/layout.js";
import { html } from "../lib/html.js";

export const JobsPage = () => html`<${Layout} title="Jobs" section="Jobs" crumbs=${[["Jobs"]]}>
  <h1 class="hidden">Jobs</h1>
  <${JobTable} />
<//>`;
