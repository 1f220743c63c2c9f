// An address that nothing is at.
import { Layout } from "../components/layout.js";
import { Link } from "../components/basics.js";
import { html } from "../lib/html.js";

export const NothingPage = () => html`<${Layout} title="Not found">
  <div class="card empty"><h1>There is no such page.</h1><${Link} to="/">All endpoints<//></div>
<//>`;
