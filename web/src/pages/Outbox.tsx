/// Mails that the platform would send, held until it is told how.

import { Alert } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get, remove } from "../api/client";
import type { WaitingMail } from "../api/schema";
import { Await, Empty, Head, Panel } from "../parts/basics";
import { SureButton } from "../parts/forms";
import { When } from "../parts/format";
import { Icon } from "../parts/Icon";

export default function Outbox() {
  const found = useQuery({ queryKey: ["outbox"], queryFn: ({ signal }) => get("/api/_private/mail-outbox", { query: { limit: 100 }, signal }), refetchInterval: 10_000 });
  return (
    <>
      <Head title="Mail outbox" about="What the platform would like to send: invitations, and news of changed configurations." />
      <Await of={found}>
        {({ mails }) => (
          <div className="column" style={{ gap: 16 }}>
            {mails.length > 0 && (
              <Alert color="yellow" icon={<Icon name="alert" />} title="No mail server is configured">These are held. Read them here, and pass on what matters yourself.</Alert>
            )}
            <Panel flush>
              {mails.length === 0
                ? <Empty icon="outbox" title="Nothing waits">When the configuration of an appliance names an “audit_email”, each change of it leaves a mail here.</Empty>
                : <ul className="rows">{mails.map((mail) => <li key={mail.id}><Row mail={mail} /></li>)}</ul>}
            </Panel>
          </div>
        )}
      </Await>
    </>
  );
}

function Row({ mail }: { mail: WaitingMail }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" className="row" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span style={{ color: "var(--mantine-color-dimmed)" }}><Icon name="mail" /></span>
        <span style={{ flex: 1, minWidth: 0 }}>
          <span className="clip" style={{ display: "block", fontWeight: 600 }}>{mail.subject}</span>
          <span className="clip" style={{ display: "block", fontSize: "0.85rem", color: "var(--mantine-color-dimmed)" }}>to {mail.recipient}</span>
        </span>
        <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)", whiteSpace: "nowrap" }}><When time={mail.created_at} /></span>
      </button>
      {open && (
        <div style={{ padding: "4px 20px 20px" }}>
          <div className="mail-body" style={{ marginBottom: 14 }}>{mail.text}</div>
          <SureButton size="xs" label="Remove" title="Remove this mail?" act={() => remove("/api/_private/mail-outbox/{mail}", { path: { mail: mail.id } })} said="Removed.">Nobody will get it.</SureButton>
        </div>
      )}
    </>
  );
}
