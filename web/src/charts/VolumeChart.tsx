/// Bars over time, with the figures for those who do not see bars.

import { VisuallyHidden } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useState } from "react";
import { number, plural } from "../parts/format";

export interface Spanned {
  timestamp: string;
  count: number;
}

const LENGTH = { hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000 };
const HEIGHT = 190;
const FOOT = 22;
const LEFT = 44;
/// Most bars that can still be told apart.
const MOST = 160;

const LONG: Record<keyof typeof LENGTH, Intl.DateTimeFormat> = {
  hour: new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" }),
  day: new Intl.DateTimeFormat("en", { dateStyle: "full", timeZone: "UTC" }),
  week: new Intl.DateTimeFormat("en", { dateStyle: "medium", timeZone: "UTC" }),
};
const TICK = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });
const TICK_LONG = new Intl.DateTimeFormat("en", { month: "short", year: "numeric", timeZone: "UTC" });

/// Every span from the first to the last, also those without emails; joined when there are too many.
function fill(spans: Spanned[], length: number, from?: string): { at: number; until: number; count: number }[] {
  const times = spans.map((span) => new Date(span.timestamp).getTime());
  const begin = from === undefined ? Math.min(...times) : Math.floor(new Date(from).getTime() / length) * length;
  const end = Math.max(...times, from === undefined ? 0 : Math.floor(Date.now() / length) * length);
  const joined = Math.max(1, Math.ceil(((end - begin) / length + 1) / MOST)) * length;
  const counts = new Map<number, number>();
  for (const [place, time] of times.entries()) {
    const slot = Math.floor((time - begin) / joined);
    counts.set(slot, (counts.get(slot) ?? 0) + (spans[place]?.count ?? 0));
  }
  const slots = Math.floor((end - begin) / joined) + 1;
  return Array.from({ length: slots }, (_, slot) => ({ at: begin + slot * joined, until: begin + (slot + 1) * joined, count: counts.get(slot) ?? 0 }));
}

/// A round number at or above the largest.
function ceiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return ([1, 2, 4, 5, 10].find((factor) => factor * power >= value) ?? 10) * power;
}

export function VolumeChart({ spans, interval, from, what }: {
  spans: Spanned[];
  interval: keyof typeof LENGTH;
  from?: string;
  what: string;
}) {
  const { ref, width } = useElementSize();
  const [over, setOver] = useState<number | null>(null);
  const total = spans.reduce((sum, span) => sum + span.count, 0);
  if (spans.length === 0) return <p style={{ margin: "24px 0", textAlign: "center", color: "var(--mantine-color-dimmed)" }}>No {what}s in this time.</p>;
  const bars = fill(spans, LENGTH[interval], from);
  const most = ceiling(Math.max(...bars.map((bar) => bar.count), 4));
  const step = Math.max(1, (width - LEFT) / bars.length);
  const y = (count: number) => (HEIGHT - FOOT) * (1 - count / most) + 4;
  const days = ((bars.at(-1)?.until ?? 0) - (bars[0]?.at ?? 0)) / 86_400_000;
  const tick = days > 200 ? TICK_LONG : TICK;
  const ticks = Math.max(2, Math.min(7, Math.floor(width / 120)));
  const seen = over === null ? undefined : bars[over];
  const title = (bar: { at: number; count: number }) => `${interval === "week" ? "from " : ""}${LONG[interval].format(bar.at)}: ${plural(bar.count, what)}`;
  return (
    <div className="chart" ref={ref}>
      {seen && over !== null && (
        <div className="tip" style={{ left: Math.min(Math.max(LEFT + step * (over + 0.5), 90), Math.max(90, width - 90)), top: y(seen.count) - 4 }}>{title(seen)}</div>
      )}
      <svg height={HEIGHT} viewBox={`0 0 ${Math.max(width, 1)} ${HEIGHT}`} role="img" aria-label={`${plural(total, what)} in ${plural(bars.length, "span")} of time`} onPointerLeave={() => setOver(null)}>
        {[0, 0.5, 1].map((part) => (
          <g key={part}>
            <line x1={LEFT} x2={width} y1={y(most * part)} y2={y(most * part)} />
            <text x={LEFT - 8} y={y(most * part) + 4} textAnchor="end">{number(most * part)}</text>
          </g>
        ))}
        {bars.map((bar, place) => (
          <g key={bar.at} onPointerEnter={() => setOver(place)}>
            <rect x={LEFT + place * step} y={0} width={step} height={HEIGHT - FOOT} fill="transparent" />
            {bar.count > 0 && (
              <rect className="bar-of" rx={Math.min(3, step / 4)} x={LEFT + place * step + step * 0.12} width={step * 0.76} y={Math.min(y(bar.count), y(0) - 1.5)} height={Math.max(1.5, y(0) - y(bar.count))} />
            )}
          </g>
        ))}
        {Array.from({ length: ticks }, (_, place) => {
          const slot = Math.round((place * (bars.length - 1)) / (ticks - 1));
          const bar = bars[slot];
          const anchor = place === ticks - 1 ? "end" : place === 0 ? "start" : "middle";
          const x = place === ticks - 1 ? width : LEFT + step * (place === 0 ? 0 : slot + 0.5);
          return bar && <text key={place} x={x} y={HEIGHT - 4} textAnchor={anchor}>{tick.format(bar.at)}</text>;
        })}
      </svg>
      <VisuallyHidden>
        <table>
          <caption>{what}s over time</caption>
          <tbody>{bars.filter((bar) => bar.count > 0).map((bar) => <tr key={bar.at}><th scope="row">{LONG[interval].format(bar.at)}</th><td>{bar.count}</td></tr>)}</tbody>
        </table>
      </VisuallyHidden>
    </div>
  );
}
