/// One result of a search.

import { Badge } from "@mantine/core";
import type { SearchResult } from "../api/schema";
import { Link } from "../router";
import { moment, plural, When } from "./format";
import { Icon } from "./Icon";
import { Letter } from "./Letter";
import { address, Highlighted, nameOf } from "./mail";
import { commentPage, threadPage } from "./source";

export function HitRow({ hit, grouped }: { hit: SearchResult; grouped: boolean }) {
  // Its source was deleted meanwhile.
  if (hit.source === null) return null;
  const { owner, name } = hit.source;
  const thread = grouped && hit.thread && hit.thread_id !== null && hit.thread.num_messages.value > 1;
  const to = thread && hit.thread_id !== null ? threadPage(owner, name, hit.thread_id) : commentPage(owner, name, hit.comment_id);
  const from = hit.from?.text ?? "";
  const folder = hit.user_properties["string:Folder"];
  return (
    <Link className="row hit" to={to} style={{ alignItems: "flex-start" }}>
      <Letter of={address(from || "?")} name={nameOf(from)} />
      <span style={{ flex: 1, minWidth: 0 }}>
        <span style={{ display: "flex", gap: 10, fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>
          <span className="clip" title={from}>{hit.from && hit.from.highlights.length > 0 ? <Highlighted of={hit.from} /> : nameOf(from)}</span>
          <span style={{ marginLeft: "auto", whiteSpace: "nowrap" }} title={moment(hit.timestamp)}><When time={hit.timestamp} /></span>
        </span>
        <h3>{hit.subject && hit.subject.text !== "" ? <Highlighted of={hit.subject} /> : "(no subject)"}</h3>
        <p>{!hit.snippet.is_start && "… "}<Highlighted of={hit.snippet} />{!hit.snippet.is_end && " …"}</p>
        <span style={{ display: "flex", flexWrap: "wrap", gap: 6, marginTop: 8, alignItems: "center" }}>
          <Badge color="gray">{owner}/{name}</Badge>
          {typeof folder === "string" && <Badge color="gray" leftSection={<Icon name="folder" size={12} />}>{folder}</Badge>}
          {hit.num_attachments > 0 && <Badge color="gray" leftSection={<Icon name="attachment" size={12} />}>{plural(hit.num_attachments, "attachment")}</Badge>}
          {thread && hit.thread && <Badge leftSection={<Icon name="thread" size={12} />}>{plural(hit.thread.num_messages.value, "message")}, {hit.thread.num_matching.value} found</Badge>}
        </span>
      </span>
    </Link>
  );
}
