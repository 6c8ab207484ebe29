/// Search over all messages: every choice is in the address, so that a search can be sent to somebody.

import { Button, NativeSelect, SegmentedControl, Switch, TextInput } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState, type SubmitEvent } from "react";
import { ApiError, post } from "../api/client";
import { allSources, projects as projectsQuery } from "../api/queries";
import { Empty, Failure, Head, Panel } from "../parts/basics";
import { plural } from "../parts/format";
import { HitRow } from "../parts/Hit";
import { Icon } from "../parts/Icon";
import { asked, type Asked } from "../parts/asked";
import { go, useAddress } from "../router";

const Volume = lazy(() => import("../charts/SearchVolume"));

export default function Search() {
  const { query } = useAddress();
  const now = asked(query);
  const set = (changes: Record<string, string>) => {
    const next = new URLSearchParams(query);
    for (const [name, value] of Object.entries(changes)) {
      if (value === "") next.delete(name);
      else next.set(name, value);
    }
    const text = next.toString();
    go(text === "" ? "/search" : `/search?${text}`);
  };
  return (
    <>
      <Head title="Search" />
      <Form key={now.query} asked={now} set={set} />
      <div className="side-by-side" style={{ marginTop: 20 }}>
        <Results asked={now} set={set} />
        <Filters asked={now} set={set} />
      </div>
    </>
  );
}

type Set = (changes: Record<string, string>) => void;

function Form({ asked, set }: { asked: Asked; set: Set }) {
  const [text, setText] = useState(asked.query);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    set({ q: text.trim() });
  };
  return (
    <form role="search" onSubmit={submit} style={{ display: "flex", gap: 10 }}>
      <TextInput
        style={{ flex: 1 }}
        size="md"
        type="search"
        name="q"
        aria-label="Search mail"
        placeholder="invoice “due date” from:acme.example has:attachment"
        leftSection={<Icon name="search" />}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        autoFocus={asked.query === ""}
        maxLength={4096}
      />
      <Button type="submit" size="md">Search</Button>
    </form>
  );
}

function Results({ asked, set }: { asked: Asked; set: Set }) {
  const found = useInfiniteQuery({
    queryKey: ["search", asked],
    queryFn: ({ pageParam, signal }) =>
      post("/api/_private/search", { json: { ...asked.body, limit: 20, ...(pageParam === "" ? {} : { continuation: pageParam }) }, signal }),
    initialPageParam: "",
    getNextPageParam: (last) => last.continuation ?? null,
    placeholderData: (before) => before,
  });
  if (found.error) return <div><Failure error={found.error} /><Stumble error={found.error} query={asked.query} /></div>;
  const hits = found.data?.pages.flatMap((page) => page.results) ?? [];
  const count = found.data?.pages[0]?.count;
  return (
    <div className="column" style={{ gap: 16 }}>
      <div style={{ display: "flex", flexWrap: "wrap", gap: 12, alignItems: "center", minHeight: 32 }}>
        <span role="status" style={{ fontSize: "0.9rem", color: "var(--mantine-color-dimmed)" }}>
          {count && `${count.kind === "lower_bound" ? "More than " : ""}${plural(count.value, "message")}`}
        </span>
        <SegmentedControl
          size="xs"
          style={{ marginLeft: "auto" }}
          aria-label="Group the results"
          value={asked.threads ? "threads" : "messages"}
          onChange={(value) => set({ group: value === "threads" ? "thread" : "" })}
          data={[{ value: "messages", label: "Messages" }, { value: "threads", label: "Threads" }]}
        />
      </div>
      <Panel flush>
        {found.data && hits.length === 0 ? (
          <Empty icon="search" title={asked.isAnything ? "No messages yet" : "Nothing found"}>
            {asked.isAnything
              ? "Attach a source to a bucket; its messages can be searched within seconds."
              : "Fewer words or filters find more. “word*” finds what begins with it; OR between words finds either."}
          </Empty>
        ) : (
          <ul className="rows" aria-busy={found.isFetching} data-testid="results">
            {hits.map((hit) => <li key={hit.uid}><HitRow hit={hit} grouped={asked.threads} /></li>)}
          </ul>
        )}
      </Panel>
      {found.hasNextPage && (
        <Button variant="default" onClick={() => void found.fetchNextPage()} loading={found.isFetchingNextPage} style={{ justifySelf: "center" }}>Show more</Button>
      )}
    </div>
  );
}

/// Shows where the server stopped to understand.
function Stumble({ error, query }: { error: unknown; query: string }) {
  if (!(error instanceof ApiError) || !error.position) return null;
  const begin = error.position.utf16_byte_start / 2;
  const end = Math.max(begin + 1, error.position.utf16_byte_end / 2);
  return (
    <pre style={{ marginTop: 12, whiteSpace: "pre-wrap" }} className="breakable" aria-label="Where the mistake is">
      {query.slice(0, begin)}<mark>{query.slice(begin, end) || " "}</mark>{query.slice(end)}
    </pre>
  );
}

function Filters({ asked, set }: { asked: Asked; set: Set }) {
  const [open, setOpen] = useState(false);
  const projects = useQuery(projectsQuery).data ?? [];
  const sources = (useQuery(allSources).data ?? []).filter((one) => asked.project === "" || one.owner === asked.project);
  return (
    <div className="column" style={{ gap: 20 }}>
      <Panel title="Filters" aside={<Button className="only-small" size="compact-sm" variant="subtle" aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Hide" : "Show"}</Button>}>
        <div className={open ? "column" : "column only-large-grid"} style={{ gap: 13 }}>
          <NativeSelect label="Project" value={asked.project} onChange={(event) => set({ project: event.currentTarget.value, source: "" })}
            data={[{ value: "", label: "All projects" }, ...projects.map((one) => ({ value: one.name, label: one.title || one.name }))]} />
          <NativeSelect label="Source" value={asked.source} onChange={(event) => set({ source: event.currentTarget.value })}
            data={[{ value: "", label: "All sources" }, ...sources.map((one) => ({ value: one.id, label: one.title || one.name }))]} />
          <TextInput key={`from ${asked.from}`} label="From domain" placeholder="acme.example" defaultValue={asked.from} onBlur={(event) => set({ from: event.currentTarget.value.trim() })}
            onKeyDown={(event) => { if (event.key === "Enter") set({ from: event.currentTarget.value.trim() }); }} />
          <TextInput key={`folder ${asked.folder}`} label="Folder" placeholder="Inbox" defaultValue={asked.folder} onBlur={(event) => set({ folder: event.currentTarget.value.trim() })}
            onKeyDown={(event) => { if (event.key === "Enter") set({ folder: event.currentTarget.value.trim() }); }} />
          <div style={{ display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(min(150px, 100%), 1fr))", gap: 10 }}>
            <TextInput type="date" label="After" value={asked.after} onChange={(event) => set({ after: event.currentTarget.value })} />
            <TextInput type="date" label="Before" value={asked.before} onChange={(event) => set({ before: event.currentTarget.value })} />
          </div>
          <Switch label="With attachments" checked={asked.attachments} onChange={(event) => set({ attachments: event.currentTarget.checked ? "true" : "" })} />
          {asked.isFiltered && <Button variant="default" size="xs" onClick={() => go(asked.query === "" ? "/search" : `/search?q=${encodeURIComponent(asked.query)}`)}>Remove all filters</Button>}
        </div>
      </Panel>
      <div className="only-large"><Suspense fallback={null}><Volume asked={asked} /></Suspense></div>
    </div>
  );
}
