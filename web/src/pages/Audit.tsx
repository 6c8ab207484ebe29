/// Who did what, when, and from where.

import { Badge, Button, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { post } from "../api/client";
import { Await, Empty, Head, Panel } from "../parts/basics";
import { Moment } from "../parts/format";
import { Letter } from "../parts/Letter";
import { Link } from "../router";

const said = (type: string) => {
  const words = type.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};

export default function Audit() {
  const [after, setAfter] = useState("");
  const [before, setBefore] = useState("");
  const timestamp = {
    ...(after && { minimum: `${after}T00:00:00Z` }),
    ...(before && { maximum: new Date(Date.parse(`${before}T00:00:00Z`) + 86_400_000).toISOString() }),
  };
  const found = useInfiniteQuery({
    queryKey: ["audit", timestamp],
    queryFn: ({ pageParam, signal }) =>
      post("/api/v1/audit_events/query", { json: { filter: { timestamp }, limit: 64, ...(pageParam === "" ? {} : { continuation: pageParam }) }, signal }),
    initialPageParam: "",
    getNextPageParam: (last) => last.continuation ?? null,
  });
  const pages = found.data?.pages;
  const users = new Map(pages?.flatMap((page) => page.users).map((one) => [one.id, one]));
  const projects = new Map(pages?.flatMap((page) => page.projects).map((one) => [one.id, one.name]));
  return (
    <>
      <Head title="Audit log" about="Every change by people and tokens. Each entry carries a hash over the one before it." />
      <div style={{ display: "flex", flexWrap: "wrap", gap: 12, marginBottom: 16 }}>
        <TextInput type="date" label="From" value={after} onChange={(event) => setAfter(event.currentTarget.value)} />
        <TextInput type="date" label="Until" value={before} onChange={(event) => setBefore(event.currentTarget.value)} />
      </div>
      <Await of={{ data: pages?.flatMap((page) => page.audit_events), error: found.error, refetch: found.refetch }}>
        {(events) => (
          <Panel flush>
            {events.length === 0 && <Empty icon="audit" title="Nothing happened in this time">Choose a longer range.</Empty>}
            <ol className="rows">
              {events.map((event) => {
                const user = users.get(event.actor_user_id);
                return (
                  <li key={event.event_id} className="row">
                    <Letter of={user?.username ?? "?"} />
                    <span style={{ flex: 1, minWidth: 0 }}>
                      <span style={{ display: "block", fontWeight: 600 }} className="breakable">{said(event.event_type)}</span>
                      <span style={{ display: "flex", flexWrap: "wrap", gap: 6, alignItems: "center", fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>
                        {user?.username ?? event.actor_user_id}
                        {event.project_ids.map((id) => <Badge key={id} color="gray"><Link className="plain" to={`/p/${encodeURIComponent(projects.get(id) ?? "")}`}>{projects.get(id) ?? id}</Link></Badge>)}
                      </span>
                    </span>
                    <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)", whiteSpace: "nowrap" }}><Moment time={event.timestamp} /></span>
                  </li>
                );
              })}
            </ol>
          </Panel>
        )}
      </Await>
      {found.hasNextPage && <Button mt="md" variant="default" onClick={() => void found.fetchNextPage()} loading={found.isFetchingNextPage}>Show more</Button>}
    </>
  );
}
