/// One message: cleaned, with everything that is known about it; and as it came.

import { SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { url } from "../api/client";
import { bucketById } from "../api/queries";
import type { Comment, CommentAttachment } from "../api/schema";
import { Await, Head, Panel } from "../parts/basics";
import { plural, size } from "../parts/format";
import { Icon } from "../parts/Icon";
import { useMay } from "../parts/may";
import { Message } from "../parts/Message";
import { comment as commentQuery, source as sourceQuery, threadPage } from "../parts/source";
import { Link, useNames } from "../router";

const OriginalMessage = lazy(() => import("../parts/OriginalMessage"));

export default function CommentPage() {
  const names = useNames("project", "source", "comment");
  const found = useQuery(commentQuery(names.project, names.source, names.comment));
  const at = `/p/${encodeURIComponent(names.project)}`;
  const crumbs = [
    { title: names.project, to: at },
    { title: names.source, to: `${at}/sources/${encodeURIComponent(names.source)}` },
  ];
  const message = found.data?.messages[0];
  return (
    <>
      <Head title={message?.subject?.text || (found.data ? "(no subject)" : "Message")} crumbs={crumbs}>
        {found.data?.thread_id && (
          <Link className="text" to={threadPage(names.project, names.source, found.data.thread_id)} style={{ display: "inline-flex", gap: 7, alignItems: "center" }}>
            <Icon name="thread" /> Whole thread
          </Link>
        )}
      </Head>
      <Await of={found}>{(comment) => <Contents comment={comment} project={names.project} source={names.source} />}</Await>
    </>
  );
}

/// The email that a comment was made of: its id is that of the email in hex.
function emailId(comment: string): string | null {
  if (!/^([0-9a-f]{2})+$/.test(comment)) return null;
  const bytes = Uint8Array.from(comment.match(/../g) ?? [], (two) => parseInt(two, 16));
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

function Contents({ comment, project, source }: { comment: Comment; project: string; source: string }) {
  const [view, setView] = useState("clean");
  const bucket = useQuery(sourceQuery(project, source)).data?.bucket_id;
  const id = emailId(comment.id);
  // The bucket may be in another project, and one may not see it.
  const owner = useQuery({ ...bucketById(bucket ?? ""), enabled: Boolean(bucket) });
  const mayRead = useMay(owner.data?.owner ?? project)("buckets-items-read");
  const hasOriginal = Boolean(bucket) && !owner.isPending && mayRead && id !== null;
  return (
    <div className="side-by-side">
      <div className="column" style={{ gap: 16 }}>
        {hasOriginal && (
          <SegmentedControl
            style={{ justifySelf: "start" }}
            aria-label="How the message is shown"
            value={view}
            onChange={setView}
            data={[{ value: "clean", label: "Cleaned" }, { value: "original", label: "Original message" }]}
          />
        )}
        {view === "original" && bucket && id !== null
          ? <Suspense fallback={null}><OriginalMessage bucket={bucket} email={id} /></Suspense>
          : <Panel>{comment.messages.map((message, place) => <Message key={place} message={message} />)}</Panel>}
      </div>
      <div className="column" style={{ gap: 20 }}>
        {(comment.attachments?.length ?? 0) > 0 && <Attachments attachments={comment.attachments ?? []} />}
        <Properties comment={comment} />
      </div>
    </div>
  );
}

function Attachments({ attachments }: { attachments: CommentAttachment[] }) {
  return (
    <Panel title={plural(attachments.length, "attachment")} flush>
      <ul className="rows">
        {attachments.map((one, place) => {
          const inside = (
            <>
              <span style={{ color: "var(--mantine-color-dimmed)" }}><Icon name={one.attachment_reference ? "download" : "attachment"} /></span>
              <span style={{ flex: 1, minWidth: 0 }}>
                <span className="breakable" style={{ display: "block", fontSize: "0.9rem", fontWeight: 500 }}>{one.name || "(no name)"}</span>
                <span style={{ fontSize: "0.8rem", color: "var(--mantine-color-dimmed)" }}>{size(one.size)} · {one.content_type}</span>
              </span>
            </>
          );
          return (
            <li key={place}>
              {one.attachment_reference
                ? <a className="row" href={url("/api/v1/attachments/{attachment}", { path: { attachment: one.attachment_reference } })} download={one.name}>{inside}</a>
                : <div className="row">{inside}</div>}
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

function Properties({ comment }: { comment: Comment }) {
  const properties = Object.entries(comment.user_properties ?? {}).map(([name, value]) => [name.replace(/^(string|number):/, ""), String(value)] as const);
  properties.sort(([a], [b]) => a.localeCompare(b));
  return (
    <Panel title="Properties">
      <dl className="properties">
        {properties.map(([name, value]) => <div key={name} style={{ display: "contents" }}><dt>{name}</dt><dd>{value}</dd></div>)}
        <dt>Comment id</dt><dd style={{ fontFamily: "var(--mantine-font-family-monospace)", fontSize: "0.78rem" }}>{comment.id}</dd>
      </dl>
    </Panel>
  );
}
