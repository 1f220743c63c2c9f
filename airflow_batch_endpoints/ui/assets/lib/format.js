// Numbers, durations and moments as people read them.
const WHOLE = new Intl.NumberFormat("en");
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const NONE = "–";

export const number = (value) => (value === null || value === undefined ? NONE : WHOLE.format(value));
export const short = (value) => (value === null || value === undefined ? NONE : SHORT.format(value));
export const moment = (value) => (value ? MOMENT.format(new Date(value)) : NONE);

/** A share as percent; what is not quite all is never shown as 100 %. */
export function percent(part, whole) {
  if (!whole) {
    return NONE;
  }
  const value = (100 * part) / whole;
  if (part < whole && value > 99.9) {
    return ">99.9 %";
  }
  return `${value >= 10 || value === 0 ? Number(value.toFixed(1)) : value.toPrecision(2)} %`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) {
    return NONE;
  }
  if (seconds < 60) {
    return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  }
  const whole = Math.round(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

export function ago(value) {
  const seconds = (new Date(value) - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) {
      return AGO.format(Math.round(seconds / size), unit);
    }
  }
  return "just now";
}

export function bytes(value) {
  if (value === null || value === undefined) {
    return NONE;
  }
  const power = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), 4);
  return `${Number((value / 1000 ** power).toPrecision(3))} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}
