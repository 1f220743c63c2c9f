// Charts by uPlot, in the colours of the theme. Each says in words what it shows, for those who cannot see it.
import uPlot from "uplot";
import { html, useEffect, useRef, useState } from "../lib/html.js";

const DAY = 86400;

/** Return a colour of the style sheet as canvas understands it. */
function colour(name, element) {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  element.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function faded(value, share) {
  return `color-mix(in oklch, ${value} ${share}%, transparent)`;
}

/** Return the last days (UTC), each with what is known of it or zeros. */
export function lastDays(days, count) {
  const known = new Map(days.map((day) => [day.day, day]));
  const zero = { completed: 0, failed: 0, canceled: 0, items: 0, items_failed: 0, rows: 0 };
  const today = Math.floor(Date.now() / 1000 / DAY) * DAY;
  return Array.from({ length: count }, (_, i) => {
    const time = today - (count - 1 - i) * DAY;
    const day = new Date(time * 1000).toISOString().slice(0, 10);
    return { time, ...zero, ...known.get(day), day };
  });
}

/**
 * A chart over time.
 *
 * @param times seconds since 1970
 * @param values one for each time; null where there is none
 * @param kind "bars" or "line"
 * @param say how a value is written
 * @param label what it shows, in words
 * @param isBare without axes, for a small one
 */
export function Chart({ times, values, kind = "bars", tone = "brand", height = 160, range, say = String, when = shortDay, label, isBare = false }) {
  const box = useRef(null);
  const [tip, setTip] = useState(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const redraw = () => setTurn((before) => before + 1);
    const watcher = new ResizeObserver(redraw);
    watcher.observe(box.current);
    addEventListener("themechange", redraw);
    return () => {
      watcher.disconnect();
      removeEventListener("themechange", redraw);
    };
  }, []);
  useEffect(() => {
    const element = box.current;
    const [ink, grid, text] = [tone, "line", "text-muted"].map((name) => colour(name, element));
    const font = `11px ${getComputedStyle(element).fontFamily}`;
    const axis = { stroke: text, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const chart = new uPlot(
      {
        width: element.clientWidth,
        height,
        padding: isBare ? [2, 0, 2, 0] : [10, 12, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
        legend: { show: false },
        scales: { x: { time: true, range: (_, low, high) => (kind === "bars" ? [low - DAY / 2, high + DAY / 2] : [low, Math.max(high, low + 1)]) }, y: { range: range ?? ((_, __, high) => [0, high > 0 ? high * 1.08 : 1]) } },
        axes: isBare
          ? [{ show: false }, { show: false }]
          : [
              { ...axis, size: 28, grid: { show: false }, values: (_, ticks) => ticks.map(when), space: 70 },
              { ...axis, size: 52, values: (_, ticks) => ticks.map(say), space: 34 },
            ],
        series: [
          {},
          kind === "bars"
            ? { stroke: ink, fill: ink, width: 0, paths: uPlot.paths.bars({ size: [0.7, 40], radius: 0.15 }), points: { show: false } }
            : { stroke: ink, fill: faded(ink, 12), width: 2, spanGaps: true, points: { show: true, size: 6, fill: ink, stroke: ink } },
        ],
        hooks: {
          setCursor: [
            (plot) => {
              const { idx, left } = plot.cursor;
              const value = idx === null || idx === undefined ? null : values[idx];
              const width = element.clientWidth;
              const place = Math.min(Math.max(left + plot.bbox.left / devicePixelRatio, 60), width - 60);
              setTip(value === null || left < 0 ? null : { text: `${when(times[idx])}: ${say(value)}`, left: place });
            },
          ],
        },
      },
      [times, values],
      element,
    );
    return () => chart.destroy();
  }, [times, values, turn, tone, height]);
  return html`<div class="chart" ref=${box} role="img" aria-label=${label} style=${{ height: `${height}px` }}>
    ${tip && html`<span class="tip" style=${{ left: `${tip.left}px`, top: "2px" }} aria-hidden="true">${tip.text}</span>`}
  </div>`;
}

const DAYS = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const shortDay = (time) => DAYS.format(new Date(time * 1000));
export const clock = (time) => CLOCK.format(new Date(time * 1000));
