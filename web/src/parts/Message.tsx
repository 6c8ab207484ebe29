/// A cleaned message: who to whom, what, and the signature apart.

import { useState } from "react";
import type { Message as Of } from "../api/schema";
import { moment } from "./format";
import { Letter } from "./Letter";
import { address, nameOf } from "./mail";

/// Recipients that are shown before one asks for all.
const SOME = 5;

export function Message({ message, subject = false }: { message: Of; subject?: boolean }) {
  return (
    <article style={{ minWidth: 0 }}>
      <header style={{ display: "flex", gap: 13, alignItems: "flex-start", marginBottom: 16 }}>
        <Letter of={address(message.from ?? "?")} name={nameOf(message.from ?? "?")} />
        <div style={{ flex: 1, minWidth: 0 }}>
          <div style={{ display: "flex", flexWrap: "wrap", gap: "2px 12px" }}>
            <strong className="breakable" style={{ fontWeight: 640 }}>{nameOf(message.from ?? "")}</strong>
            <span className="breakable" style={{ fontSize: "0.85rem", color: "var(--mantine-color-dimmed)" }}>{address(message.from ?? "")}</span>
            {message.sent_at && <time dateTime={message.sent_at} style={{ marginLeft: "auto", fontSize: "0.85rem", color: "var(--mantine-color-dimmed)" }}>{moment(message.sent_at)}</time>}
          </div>
          <Recipients kind="to" list={message.to ?? []} />
          <Recipients kind="cc" list={message.cc ?? []} />
          <Recipients kind="bcc" list={message.bcc ?? []} />
        </div>
      </header>
      {subject && message.subject?.text && <h3 style={{ margin: "0 0 10px", fontSize: "1rem" }} className="breakable">{message.subject.text}</h3>}
      <div className="mail-body">{message.body.text || <span style={{ color: "var(--mantine-color-dimmed)" }}>(no text)</span>}</div>
      {message.signature?.text && <div className="signature" aria-label="Signature">{message.signature.text}</div>}
    </article>
  );
}

function Recipients({ kind, list }: { kind: string; list: string[] }) {
  const [all, setAll] = useState(false);
  if (list.length === 0) return null;
  const shown = all ? list : list.slice(0, SOME);
  return (
    <div className="breakable" style={{ fontSize: "0.85rem", color: "var(--mantine-color-dimmed)" }}>
      {kind} {shown.map((one, place) => <span key={place} title={one}>{place > 0 && ", "}{nameOf(one)}</span>)}
      {shown.length < list.length && (
        <> <button type="button" onClick={() => setAll(true)} style={{ border: 0, background: "none", padding: 0, font: "inherit", color: "var(--mantine-color-anchor)", cursor: "pointer" }}>and {list.length - shown.length} more</button></>
      )}
    </div>
  );
}
