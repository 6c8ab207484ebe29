/// A thread: its messages in their order, the last one in full.

import { Button } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { post } from "../api/client";
import type { SearchResult } from "../api/schema";
import { Await, Head, Panel } from "../parts/basics";
import { moment, plural } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Letter } from "../parts/Letter";
import { address, nameOf } from "../parts/mail";
import { Message } from "../parts/Message";
import { comment as commentQuery, commentPage, source as sourceQuery } from "../parts/source";
import { Link, useNames } from "../router";

/// Messages that are listed at once.
const PAGE = 100;

export default function ThreadPage() {
  const names = useNames("project", "source", "thread");
  const source = useQuery(sourceQuery(names.project, names.source));
  const id = source.data?.id;
  const found = useInfiniteQuery({
    queryKey: ["threads", id, names.thread],
    queryFn: ({ pageParam, signal }) => {
      const json = { query: "", filter: { sources: id === undefined ? [] : [id], thread_id: names.thread }, limit: PAGE };
      return post("/api/_private/search", { json: pageParam === "" ? json : { ...json, continuation: pageParam }, signal });
    },
    initialPageParam: "",
    getNextPageParam: (last) => last.continuation ?? null,
    enabled: id !== undefined,
  });
  // The search lists the newest first.
  const hits = found.data?.pages.flatMap((page) => page.results).reverse();
  const at = `/p/${encodeURIComponent(names.project)}`;
  const crumbs = [{ title: names.project, to: at }, { title: names.source, to: `${at}/sources/${encodeURIComponent(names.source)}` }];
  const people = new Set(hits?.map((one) => address(one.from?.text ?? "")));
  return (
    <>
      <Head
        title={hits?.[0]?.subject?.text || "Thread"}
        crumbs={crumbs}
        about={hits && `${plural(hits.length, "message")} of ${plural(people.size, "person", "people")}`}
      />
      {found.hasNextPage && <Button mb="md" variant="default" onClick={() => void found.fetchNextPage()} loading={found.isFetchingNextPage}>Earlier messages</Button>}
      <Await of={{ data: hits, error: source.error ?? found.error, refetch: found.refetch }}>
        {(list) => (
          <ol className="rows column" style={{ gap: 14 }}>
            {list.map((one, place) => <li key={one.uid}><Part hit={one} open={place === list.length - 1} /></li>)}
          </ol>
        )}
      </Await>
    </>
  );
}

function Part({ hit, open }: { hit: SearchResult; open: boolean }) {
  const [shown, setShown] = useState(open);
  if (shown) return <Whole hit={hit} />;
  const from = hit.from?.text ?? "";
  return (
    <div className="panel">
      <button type="button" className="row" style={{ borderTop: 0 }} aria-expanded={false} onClick={() => setShown(true)}>
        <Letter of={address(from || "?")} name={nameOf(from)} />
        <span style={{ flex: 1, minWidth: 0 }}>
          <span style={{ display: "block", fontWeight: 600 }} className="clip">{nameOf(from)}</span>
          <span style={{ display: "block", fontSize: "0.86rem", color: "var(--mantine-color-dimmed)" }} className="clip">{hit.snippet.text}</span>
        </span>
        <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)", whiteSpace: "nowrap" }}>{moment(hit.timestamp)}</span>
      </button>
    </div>
  );
}

function Whole({ hit }: { hit: SearchResult }) {
  const { project: owner, source: name } = useNames("project", "source");
  const found = useQuery(commentQuery(owner, name, hit.comment_id));
  return (
    <Panel>
      <Await of={found}>
        {(comment) => (
          <>
            {comment.messages.map((message, place) => <Message key={place} message={message} />)}
            <div style={{ marginTop: 16 }}>
              <Link className="text" to={commentPage(owner, name, comment.id)} style={{ display: "inline-flex", gap: 6, alignItems: "center", fontSize: "0.88rem" }}>
                <Icon name="mail" size={15} /> Properties, attachments and original
              </Link>
            </div>
          </>
        )}
      </Await>
    </Panel>
  );
}
