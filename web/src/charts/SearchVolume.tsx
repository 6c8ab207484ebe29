/// When the messages were sent that a search finds.

import { useQuery } from "@tanstack/react-query";
import { post } from "../api/client";
import type { Asked } from "../parts/asked";
import { Panel } from "../parts/basics";
import { day } from "../parts/format";
import { VolumeChart } from "./VolumeChart";

export default function SearchVolume({ asked }: { asked: Asked }) {
  const { query, filter } = asked.body;
  const found = useQuery({
    queryKey: ["search", "volume", query, filter],
    queryFn: ({ signal }) => post("/api/_private/search/volume", { json: { query, filter, interval: "week" }, signal }),
    placeholderData: (before) => before,
  });
  if (!found.data || found.data.volume.length === 0) return null;
  const spans = found.data.volume.map(({ start, count }) => ({ timestamp: start, count }));
  return (
    <Panel title="Over time">
      <VolumeChart spans={spans} interval="week" what="message" />
      {!found.data.complete && found.data.since !== null && (
        <p style={{ fontSize: "0.8rem", color: "var(--mantine-color-dimmed)", margin: "8px 0 0" }}>Only the newest matches are counted; earlier than {day(found.data.since)} there are more.</p>
      )}
    </Panel>
  );
}
