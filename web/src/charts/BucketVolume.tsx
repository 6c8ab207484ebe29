/// Emails of one or more buckets over time.

import { SegmentedControl } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useState } from "react";
import { volume } from "../api/queries";
import type { Bucket } from "../api/schema";
import { Await, Panel } from "../parts/basics";
import { VolumeChart } from "./VolumeChart";

const DAY = 86_400_000;
const RANGES = { "7 days": [7, "hour"], "30 days": [30, "day"], "1 year": [364, "week"], All: [null, "week"] } as const;
type Range = keyof typeof RANGES;

export default function BucketVolume({ buckets }: { buckets: Bucket[] }) {
  const [range, setRange] = useState<Range>("All");
  const [days, interval] = RANGES[range];
  const [today] = useState(() => Math.ceil(Date.now() / DAY));
  const from = new Date(days === null ? Date.UTC(1990, 0, 1) : (today - days) * DAY).toISOString();
  const parts = useQueries({ queries: buckets.map((bucket) => volume(bucket.id, interval, from)) });
  const sum = new Map<string, number>();
  for (const part of parts) {
    for (const span of part.data?.volume ?? []) sum.set(span.timestamp, (sum.get(span.timestamp) ?? 0) + span.count);
  }
  const spans = [...sum].sort(([a], [b]) => (a < b ? -1 : 1)).map(([timestamp, count]) => ({ timestamp, count }));
  const waiting = parts.find((part) => part.data === undefined);
  return (
    <Panel
      title="Volume over time"
      aside={<SegmentedControl size="xs" value={range} onChange={(value) => setRange(value as Range)} data={Object.keys(RANGES)} aria-label="Range of time" />}
    >
      <Await of={waiting ?? { data: spans, error: null, refetch: () => null }} height={180}>
        {() => <VolumeChart spans={spans} interval={interval} {...(days === null ? {} : { from })} what="email" />}
      </Await>
    </Panel>
  );
}
