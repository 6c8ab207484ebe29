/// Numbers, sizes and times as people read them.

import { useSyncExternalStore } from "react";

const NUMBER = new Intl.NumberFormat("en-US");
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const DAY = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const MOMENT = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const PRECISE = new Intl.DateTimeFormat("en", { dateStyle: "full", timeStyle: "long" });

export const number = (value: number) => NUMBER.format(value);
export const day = (time: string) => DAY.format(new Date(time));
export const moment = (time: string) => MOMENT.format(new Date(time));

export const plural = (count: number, one: string, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function size(bytes: number): string {
  const units = ["bytes", "KB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  if (value === 1 && unit === 0) return "1 byte";
  return `${unit === 0 ? value : value.toPrecision(value < 100 ? 2 : 3).replace(/\.0$/, "")} ${units[unit] ?? ""}`;
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["second", 60], ["minute", 60], ["hour", 24], ["day", 30], ["month", 12], ["year", Infinity],
];

export function ago(time: string, now: number): string {
  let value = (new Date(time).getTime() - now) / 1000;
  for (const [unit, until] of UNITS) {
    if (Math.abs(value) < until) return AGO.format(Math.trunc(value), unit);
    value /= until;
  }
  return "";
}

/// One clock for the whole page.
let now = Date.now();
function tick(listener: () => void) {
  const timer = setInterval(() => {
    now = Date.now();
    listener();
  }, 5_000);
  return () => clearInterval(timer);
}

/// How long ago; the time itself shows when it is pointed at.
export function When({ time }: { time: string | null | undefined }) {
  const current = useSyncExternalStore(tick, () => now);
  if (!time) return <span>never</span>;
  // What came since the clock last ticked is not in the future.
  const at = new Date(time).getTime();
  const shown = at > current && at < current + 60_000 ? at : current;
  return <time dateTime={time} title={PRECISE.format(new Date(time))}>{ago(time, shown)}</time>;
}

export const Moment = ({ time }: { time: string }) => (
  <time dateTime={time} title={PRECISE.format(new Date(time))}>{moment(time)}</time>
);
