// When each shard was worked on, and by whom: a bar for every attempt, by the clock of the storage.
import { duration, number } from "../lib/format.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";

const [NARROWEST, LANE, GAP, LEFT, RIGHT, TOP] = [520, 11, 8, 40, 12, 20];
const MOST_INSTANCES = 40;
const MOST_LANES = 16;
const TONES = { committed: "good", held: "busy", lost: "bad" };
const SAYS = { committed: "done", held: "under way", lost: "lost, to be done again" };

const time = (value) => (value ? new Date(value).getTime() : null);

/** Give each span of an instance a lane of its own in which nothing else is at that time. */
function lanes(spans) {
  const free = [];
  return spans.map((span) => {
    const found = free.findIndex((end) => end <= span.from);
    const lane = found === -1 && free.length < MOST_LANES ? free.length : Math.max(found, 0);
    free[lane] = Math.max(span.to, free[lane] ?? 0);
    return { ...span, lane };
  });
}

function rows(progress, now) {
  const groups = new Map();
  for (const span of progress.spans) {
    const to = time(span.ended) ?? now;
    const from = time(span.started) ?? to;
    const known = groups.get(span.instance) ?? [];
    groups.set(span.instance, [...known, { ...span, from, to: Math.max(from, to) }]);
  }
  const byNumber = [...groups].sort(([a], [b]) => (a ?? Infinity) - (b ?? Infinity));
  let top = TOP;
  return byNumber.slice(0, MOST_INSTANCES).map(([instance, spans]) => {
    const placed = lanes(spans.sort((a, b) => a.from - b.from));
    const count = 1 + Math.max(...placed.map((span) => span.lane));
    const row = { instance, spans: placed, top, height: Math.max(count * LANE, 14) };
    top += row.height + GAP;
    return row;
  });
}

/** Return the moment up to which the chart goes: what is under way goes on until now. */
function lastMoment(progress) {
  const said = progress.spans.flatMap((span) => [time(span.started), time(span.ended)]).filter(Boolean);
  const seen = progress.instances.map((instance) => time(instance.seen)).filter(Boolean);
  const last = Math.max(...said, ...seen);
  // Storage and browser need not agree on the time: hours apart, the storage's word is better.
  const isLive = progress.spans.some((span) => span.state === "held");
  return isLive && Math.abs(Date.now() - last) < 3_600_000 ? Math.max(Date.now(), last) : last;
}

function name(span) {
  const shard = span.shards > 1 ? `${number(span.shards)} shards, the first is ${span.shard}` : `shard ${span.shard}`;
  return span.attempt > 1 ? `${shard}, attempt ${span.attempt}` : shard;
}

/** The attempts at the shards of a job, a row for each instance. */
export function ShardTimeline({ progress }) {
  const box = useRef(null);
  const [width, setWidth] = useState(960);
  useEffect(() => {
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.max(Math.floor(entry.contentRect.width), NARROWEST)));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const now = lastMoment(progress);
  const shown = rows(progress, now);
  const first = Math.min(...shown.flatMap((row) => row.spans.map((span) => span.from)));
  const last = Math.max(now, first + 1000);
  const place = (moment) => LEFT + ((width - LEFT - RIGHT) * (moment - first)) / (last - first);
  const bottom = shown.at(-1);
  const height = bottom.top + bottom.height + 4;
  const count = (state) => progress.spans.filter((span) => span.state === state).reduce((sum, span) => sum + span.shards, 0);
  const label = `When each shard was worked on: ${number(count("committed"))} done, ${number(count("held"))} under way, ${number(count("lost"))} lost, over ${duration((last - first) / 1000)}`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Timeline of shards" ref=${box}><svg class="timeline shards" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} role="img" aria-label=${label}>
    ${[0, 0.25, 0.5, 0.75, 1].map((part, i) => html`<g key=${i}><line class="grid" x1=${place(first + part * (last - first))} x2=${place(first + part * (last - first))} y1=${TOP - 4} y2=${height} />
      <text x=${place(first + part * (last - first))} y="11" text-anchor=${i === 4 ? "end" : i ? "middle" : "start"}>${duration((part * (last - first)) / 1000)}</text></g>`)}
    ${shown.map((row) => html`<g key=${row.instance}>
      <text x="4" y=${row.top + 11}>${row.instance ?? "?"}</text>
      ${row.spans.map((span) => html`<rect key=${`${span.shard}.${span.attempt}`} class="bar ${TONES[span.state]} ${span.state}" x=${place(span.from)} y=${row.top + span.lane * LANE + 1} width=${Math.max(place(span.to) - place(span.from) - 1, 2)} height=${LANE - 2} rx="2">
        <title>${`${name(span)}: ${SAYS[span.state]}, ${duration((span.to - span.from) / 1000)}`}</title></rect>`)}</g>`)}
  </svg></div>
  <p class="muted small legend"><span class="key good">done</span> <span class="key busy">under way</span> <span class="key bad lost">lost, done again by whoever is there</span>${progress.spans.some((span) => span.shards > 1) ? " · a bar is several shards that one slot did one after the other" : ""}${progress.is_cut ? " · there were more attempts or starts than these" : ""}</p>`;
}
