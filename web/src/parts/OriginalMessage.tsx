/// An email as it came. Its HTML is sanitized by the server and shown in a frame that may run nothing, reach
/// nothing of this page, and load nothing until one asks for it.

import { Alert, Button, Group, SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get, url } from "../api/client";
import type { Original } from "../api/schema";
import { Await, Panel } from "./basics";
import { plural, size } from "./format";
import { Icon } from "./Icon";

export default function OriginalMessage({ bucket, email }: { bucket: string; email: string }) {
  const at = { bucket: `id:${bucket}`, email };
  const found = useQuery({
    queryKey: ["original", bucket, email],
    queryFn: async ({ signal }) => (await get("/api/_private/buckets/{bucket}/emails/{email}/original", { path: at, signal })).original,
    staleTime: Infinity,
  });
  return <Await of={found}>{(original) => <Shown original={original} at={at} />}</Await>;
}

function Shown({ original, at }: { original: Original; at: { bucket: string; email: string } }) {
  const [view, setView] = useState("mail");
  const [remote, setRemote] = useState(false);
  const { blocked, state } = original.html ?? { blocked: 0, state: "shown" };
  const part = (index: number) => url("/api/_private/buckets/{bucket}/emails/{email}/original/parts/{index}", { path: { ...at, index } });
  return (
    <div className="column" style={{ gap: 16 }}>
      <Group gap="sm">
        <SegmentedControl size="xs" aria-label="Part of the original" value={view} onChange={setView}
          data={[{ value: "mail", label: "Mail" }, { value: "text", label: "Text" }, { value: "headers", label: `Headers (${original.headers.length})` }]} />
        <Button component="a" size="xs" variant="default" href={url("/api/_private/buckets/{bucket}/emails/{email}/original/raw", { path: at })} download leftSection={<Icon name="download" size={14} />}>Download ({size(original.size)})</Button>
      </Group>
      {view === "mail" && blocked > 0 && !remote && (
        <Alert color="yellow" icon={<Icon name="shield" />} title={`${plural(blocked, "picture")} from elsewhere not loaded`}>
          Loading them tells the sender that, when and from where this message was read.
          <div style={{ marginTop: 10 }}><Button size="xs" variant="default" onClick={() => setRemote(true)}>Load pictures</Button></div>
        </Alert>
      )}
      {view === "mail" && (state === "too_large" || state === "too_deep") && (
        <Alert color="gray" icon={<Icon name="alert" />} title="Shown as text">Its HTML is too {state === "too_large" ? "large" : "deeply nested"} to be made safe; the download has it.</Alert>
      )}
      <div className="panel">
        {view === "mail" && (
          <iframe
            className="original"
            title="Original message"
            sandbox="allow-popups allow-popups-to-escape-sandbox"
            referrerPolicy="no-referrer"
            src={url("/api/_private/buckets/{bucket}/emails/{email}/original/html", { path: at, query: remote ? { remote: "images" } : {} })}
          />
        )}
        {view === "text" && <pre className="mail-body" tabIndex={0} style={{ margin: 0, padding: 20, font: "inherit" }}>{original.text || "(no text)"}</pre>}
        {view === "headers" && (
          <dl className="properties" style={{ padding: 20 }}>
            {original.headers.map((header, place) => <div key={place} style={{ display: "contents" }}><dt>{header.name}</dt><dd>{header.value}</dd></div>)}
          </dl>
        )}
      </div>
      {original.parts.length > 0 && (
        <Panel title={plural(original.parts.length, "part")} flush>
          <ul className="rows">
            {original.parts.map((one) => (
              <li key={one.index}>
                <a className="row" href={part(one.index)} download={one.name}>
                  <span style={{ color: "var(--mantine-color-dimmed)" }}><Icon name="download" /></span>
                  <span style={{ flex: 1, minWidth: 0 }}>
                    <span className="breakable" style={{ display: "block", fontWeight: 500 }}>{one.name || `part ${one.index}`}</span>
                    <span style={{ fontSize: "0.8rem", color: "var(--mantine-color-dimmed)" }}>{size(one.size)} · {one.content_type}{one.inline && " · within the text"}</span>
                  </span>
                  {one.shown_as && <img src={part(one.index)} alt="" style={{ maxHeight: 44, maxWidth: 90, borderRadius: 6 }} />}
                </a>
              </li>
            ))}
          </ul>
        </Panel>
      )}
      {original.notes.length > 0 && (
        <p style={{ margin: 0, fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>Seen while it was read: {original.notes.map((note) => note.replaceAll("_", " ")).join(", ")}.</p>
      )}
    </div>
  );
}
