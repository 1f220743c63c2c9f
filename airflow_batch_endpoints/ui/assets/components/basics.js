// Small things that all pages are made of.
import { ROOT } from "../lib/api.js";
import { leave, airflow } from "../lib/airflow.js";
import { html, useEffect, useId, useRef, useState } from "../lib/html.js";

const TONES = {
  Completed: "good", Failed: "bad", Canceled: "stop", CancelRequested: "stop", Running: "busy", Finalizing: "busy",
  Preparing: "busy", Queued: "wait", NotStarted: "wait",
  // states of Airflow's tasks
  success: "good", failed: "bad", upstream_failed: "bad", running: "busy", deferred: "busy", restarting: "busy",
  up_for_retry: "warn", up_for_reschedule: "warn", skipped: "stop", removed: "stop", queued: "wait", scheduled: "wait",
  // what became of a start of an instance
  finished: "good", lost: "bad", stopped: "stop",
};
export const ENDED = ["Completed", "Failed", "Canceled"];

/** The tone of a state: a class that gives `--tone`. */
export const tone = (state) => TONES[state] ?? "wait";

export const State = ({ state }) => html`<span class="state ${tone(state)}">${state ?? "none yet"}</span>`;

/** A link to another of these pages. */
export const Link = ({ to, children, ...rest }) => html`<a href=${`${ROOT}/ui${to}`} ...${rest}>${children}</a>`;

export const Loading = ({ what = "Loading" }) => html`<p class="loading" role="status">${what} …</p>`;

/** What went wrong, where it went wrong. */
export function Problem({ error, what }) {
  if (error.status === 401) {
    return html`<div class="notice warn" role="alert">
      <strong>Your login has ended.</strong>
      <span><a href=${airflow.login()} onClick=${leave}>Log in again</a> to go on.</span>
    </div>`;
  }
  const isTheirs = error.status >= 500 || error.status === 0;
  return html`<div class="notice ${isTheirs ? "bad" : "warn"}" role="alert">
    <strong>${what ?? error.title}</strong>
    ${error.errors?.length > 1
      ? html`<ul>${error.errors.map((entry) => html`<li><code>${entry.field}</code>: ${entry.message}</li>`)}</ul>`
      : html`<span>${error.message}</span>`}
  </div>`;
}

/** What a resource is, or that it is being read, or why it cannot be. What is known stays when reading it again fails. */
export function Show({ of, what, children }) {
  if (of.data === null) {
    return of.error ? html`<${Problem} error=${of.error} what=${what} />` : html`<${Loading} />`;
  }
  return html`${of.error && html`<${Problem} error=${of.error} what="This may be out of date" />`}${children(of.data)}`;
}

/** A button that copies a text. */
export function Copy({ text, label = "Copy", ...rest }) {
  const [said, setSaid] = useState(null);
  useEffect(() => {
    const timer = said && setTimeout(() => setSaid(null), 1600);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => setSaid((await copyText(text)) ? "Copied" : "Select it and copy");
  return html`<button type="button" onClick=${copy} ...${rest}>
    <span aria-live="polite">${said ?? label}</span>
  </button>`;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP browsers have no clipboard to write to, but still the old command.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export const Code = ({ text, label }) => html`<div class="code">
  <pre tabindex="0" role="region" aria-label=${`Text: ${label}`}>${text}</pre>
  <${Copy} text=${text} aria-label=${`Copy ${label}`} />
</div>`;

/** Tabs; which one is open is kept in the address. */
export function Tabs({ label, tabs, panel }) {
  const shown = tabs.filter(Boolean);
  const wanted = new URLSearchParams(location.search).get("tab");
  const [open, setOpen] = useState(shown.some((tab) => tab.id === wanted) ? wanted : shown[0].id);
  const id = useId();
  const choose = (tab) => {
    const address = new URL(location.href);
    address.searchParams.set("tab", tab);
    history.replaceState(history.state, "", address);
    setOpen(tab);
  };
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      const index = shown.findIndex((tab) => tab.id === open);
      const next = shown[(index + step + shown.length) % shown.length];
      choose(next.id);
      event.currentTarget.querySelector(`#${CSS.escape(`${id}-${next.id}`)}`).focus();
    }
  };
  return html`<div class="stack">
    <div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
      ${shown.map((tab) => html`<button key=${tab.id} id=${`${id}-${tab.id}`} role="tab" type="button" aria-selected=${String(tab.id === open)}
        aria-controls=${`${id}-panel`} tabindex=${tab.id === open ? 0 : -1} onClick=${() => choose(tab.id)}>
        ${tab.name}${tab.count ? html`<span class="count">${tab.count}</span>` : null}
      </button>`)}
    </div>
    <div class="stack" role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-${open}`} key=${open}>${panel(open)}</div>
  </div>`;
}

export function Pager({ page, onOffset, of = "" }) {
  const last = Math.min(page.offset + page.items.length, page.total);
  return html`<nav class="pager" aria-label="Pages">
    <span class="muted">${page.total ? `${page.offset + 1}–${last} of ${page.total.toLocaleString("en")}` : "0"} ${of}</span>
    <span class="actions">
      <button type="button" disabled=${page.offset === 0} onClick=${() => onOffset(Math.max(0, page.offset - page.limit))}>Previous</button>
      <button type="button" disabled=${last >= page.total} onClick=${() => onOffset(page.offset + page.limit)}>Next</button>
    </span>
  </nav>`;
}

/** Asks before something is done that cannot be taken back. */
export function Confirm({ title, children, action, onConfirm, onClose }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => dialog.current.showModal(), []);
  return html`<dialog ref=${dialog} aria-labelledby=${id} onClose=${onClose}>
    <div class="stack">
      <h2 id=${id}>${title}</h2>
      <div>${children}</div>
      <div class="actions">
        <button type="button" onClick=${() => dialog.current.close()}>No, go back</button>
        <button type="button" class="primary" onClick=${() => { dialog.current.close(); onConfirm(); }}>${action}</button>
      </div>
    </div>
  </dialog>`;
}

export const Fact = ({ label, children }) => html`<div><dt>${label}</dt><dd>${children}</dd></div>`;
