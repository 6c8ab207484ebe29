/// A thread: its messages in their order, the last one in full.

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Button } from "@mantine/core";
import { useState } from "react";
import { post } from "../api/client";
import type { Comment } from "../api/types";
import { Await, Head, Panel } from "../parts/basics";
import { moment, plural } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Letter } from "../parts/Letter";
import { address, nameOf } from "../parts/mail";
import { Message } from "../parts/Message";
import { commentPage, source as sourceQuery } from "../parts/source";
import { Link, useNames } from "../router";

interface Page {
  comments: Comment[];
  continuation?: string;
}

export default function ThreadPage() {
  const names = useNames("project", "source", "thread");
  const source = useQuery(sourceQuery(names.project, names.source));
  const id = source.data?.id;
  const found = useInfiniteQuery({
    queryKey: ["threads", id, names.thread],
    queryFn: ({ pageParam, signal }) =>
      post<Page>("api/_private/search/threads", { source_id: id, thread_id: names.thread, limit: 64, ...(pageParam === "" ? {} : { continuation: pageParam }) }, signal),
    initialPageParam: "",
    getNextPageParam: (last) => last.continuation ?? null,
    enabled: id !== undefined,
  });
  const comments = found.data?.pages.flatMap((page) => page.comments);
  const at = `/p/${encodeURIComponent(names.project)}`;
  const crumbs = [{ title: names.project, to: at }, { title: names.source, to: `${at}/sources/${encodeURIComponent(names.source)}` }];
  const people = new Set(comments?.map((one) => address(one.messages[0]?.from ?? "")));
  return (
    <>
      <Head
        title={comments?.[0]?.messages[0]?.subject?.text || "Thread"}
        crumbs={crumbs}
        about={comments && `${plural(comments.length, "message")} of ${plural(people.size, "person", "people")}`}
      />
      <Await of={{ data: comments, error: source.error ?? found.error, refetch: found.refetch }}>
        {(list) => (
          <ol className="rows column" style={{ gap: 14 }}>
            {list.map((one, place) => <li key={one.id}><Part comment={one} project={names.project} source={names.source} open={place === list.length - 1} /></li>)}
          </ol>
        )}
      </Await>
      {found.hasNextPage && <Button mt="md" variant="default" onClick={() => void found.fetchNextPage()} loading={found.isFetchingNextPage}>Later messages</Button>}
    </>
  );
}

function Part({ comment, project, source, open }: { comment: Comment; project: string; source: string; open: boolean }) {
  const [shown, setShown] = useState(open);
  const message = comment.messages[0];
  if (!message) return null;
  if (!shown) {
    return (
      <div className="panel">
        <button type="button" className="row" style={{ borderTop: 0 }} aria-expanded={false} onClick={() => setShown(true)}>
          <Letter of={address(message.from ?? "?")} />
          <span style={{ flex: 1, minWidth: 0 }}>
            <span style={{ display: "block", fontWeight: 600 }} className="clip">{nameOf(message.from ?? "")}</span>
            <span style={{ display: "block", fontSize: "0.86rem", color: "var(--mantine-color-dimmed)" }} className="clip">{message.body.text.slice(0, 200)}</span>
          </span>
          <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)", whiteSpace: "nowrap" }}>{moment(comment.timestamp)}</span>
        </button>
      </div>
    );
  }
  return (
    <Panel>
      <Message message={message} />
      <div style={{ marginTop: 16 }}>
        <Link className="text" to={commentPage(project, source, comment.id)} style={{ display: "inline-flex", gap: 6, alignItems: "center", fontSize: "0.88rem" }}>
          <Icon name="mail" size={15} /> Properties, attachments and original
        </Link>
      </div>
    </Panel>
  );
}
