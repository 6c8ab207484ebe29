/// An integration: its mailboxes, its errors, and its configuration.

import { Badge, Button, Switch } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { ApiError, full, get, post, remove, url } from "../api/client";
import type { Given } from "../api/document";
import type { Integration } from "../api/schema";
import { Await, Dot, Empty, Failure, Head, Panel, Tile } from "../parts/basics";
import { SureButton, useAction } from "../parts/forms";
import { day, plural, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { useMay } from "../parts/may";
import { go, Link, path, useNames } from "../router";
import { why } from "./Integrations";

interface At {
  path: { integration: string };
}
type Changes = Given<"post", "/api/_private/integrations/{integration}">["json"]["integration"];

const change = (at: At, integration: Changes) => post("/api/_private/integrations/{integration}", { ...at, json: { integration } });

const Editor = lazy(() => import("../editor/Editor"));

export default function IntegrationPage() {
  const names = useNames("project", "integration");
  const at: At = { path: { integration: full(names.project, names.integration) } };
  const mayWrite = useMay(names.project)("integrations-write");
  const found = useQuery({
    queryKey: ["integrations", names.project, names.integration],
    queryFn: async ({ signal }) => (await get("/api/_private/integrations/{integration}", { ...at, signal })).integration,
    refetchInterval: 10_000,
  });
  const version = found.data?.updated_at;
  const appliance = useQuery({
    queryKey: ["integrations", names.project, names.integration, "appliance", version],
    queryFn: ({ signal }) => get("/api/_private/integrations/{integration}/appliance-config", { ...at, signal }),
    enabled: version !== undefined,
    retry: false,
  });
  // Not every integration is something that an appliance can do; the server says what it cannot.
  const cannot = appliance.error instanceof ApiError && appliance.error.status === 400 ? appliance.error.message : null;
  const crumbs = [{ title: names.project, to: path`/p/${names.project}` }, { title: "Integrations", to: path`/p/${names.project}/integrations` }];
  return (
    <>
      <Head title={found.data?.title || names.integration} crumbs={crumbs} about={`${names.project}/${names.integration}`}>
        {cannot === null
          ? <Button component="a" variant="default" href={url("/api/_private/integrations/{integration}/appliance-config", at)} download={`${names.integration}.json`} leftSection={<Icon name="download" size={15} />}>For an appliance</Button>
          : <Button variant="default" disabled aria-describedby="cannot" leftSection={<Icon name="download" size={15} />}>For an appliance</Button>}
        {mayWrite && (
          <SureButton label="Delete" title={`Delete ${names.integration}?`} act={() => remove("/api/_private/integrations/{integration}", at)} done={() => go(path`/p/${names.project}/integrations`)} said="The integration is gone.">
            Its configuration and its secrets go with it. The mail that came through it stays.
          </SureButton>
        )}
      </Head>
      {cannot !== null && <p id="cannot" className="breakable" style={{ margin: "-12px 0 16px", fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>Nothing for an appliance yet: {cannot}</p>}
      <Await of={found}>{(integration) => <Contents integration={integration} at={at} mayWrite={mayWrite} />}</Await>
    </>
  );
}

function Contents({ integration, at, mayWrite }: { integration: Integration; at: At; mayWrite: boolean }) {
  const errors = useQuery({
    queryKey: ["integrations", integration.id, "errors"],
    queryFn: async ({ signal }) => (await get("/api/_private/integrations/{integration}/errors", { ...at, signal })).errors,
    refetchInterval: 10_000,
    retry: false,
  }).data ?? [];
  const boxes = integration.configuration.mailboxes;
  const toggle = useAction((enabled: boolean) => change(at, { enabled, updated_at: integration.updated_at }));
  return (
    <div className="column">
      <div className="tiles">
        <Tile name="State" value={!mayWrite ? <span style={{ fontSize: "1rem" }}>{integration.enabled ? "on" : why(integration)}</span> : (
          <Switch checked={integration.enabled} onChange={(event) => toggle.mutate(event.currentTarget.checked)} disabled={toggle.isPending} size="md"
            label={integration.enabled ? "on" : why(integration)} />
        )} />
        <Tile name="Mailboxes" value={boxes.length} />
        <Tile name="Kept secrets" value={<span style={{ fontSize: "1rem" }}>{integration.stored_secrets.map((one) => one.replaceAll("_", " ")).join(", ") || "none"}</span>} />
        <Tile name="Changed" value={<span style={{ fontSize: "1rem" }}><When time={integration.updated_at} /></span>} />
      </div>
      {toggle.error !== null && <Failure error={toggle.error} />}
      {errors.length > 0 && (
        <Panel title={plural(errors.length, "error")} flush>
          <ul className="rows">
            {errors.map((one) => (
              <li key={one.id} className="row">
                <Dot state="bad" label="Error" />
                <span style={{ flex: 1, minWidth: 0 }}>
                  <span style={{ fontWeight: 600, display: "block" }} className="breakable">{one.kind.replaceAll("_", " ")}{one.action.mailbox_name && ` · ${one.action.mailbox_name}`}</span>
                  <span style={{ fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }} className="breakable">{one.full_error_text}</span>
                </span>
                <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)" }}><When time={one.created_at} /></span>
              </li>
            ))}
          </ul>
        </Panel>
      )}
      <Panel title="Mailboxes" flush>
        {boxes.length === 0 ? <Empty icon="mail" title="No mailboxes yet">{mayWrite && "Add them to the configuration below."}</Empty> : (
          <ul className="rows">
            {boxes.map((box) => (
              <li key={box.email} className="row">
                <Dot state={box.enabled ? "good" : "none"} label={box.enabled ? "On" : "Off"} />
                <span style={{ flex: 1, minWidth: 0 }}>
                  <span className="clip" style={{ fontWeight: 600, display: "block" }}>{box.email}</span>
                  <span style={{ fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }} className="breakable">
                    into <Link className="text" to={path`/p/${box.bucket_specification.project_name}/buckets/${box.bucket_specification.name}`}>{box.bucket_specification.project_name}/{box.bucket_specification.name}</Link>
                    {box.start_timestamp && <> · from {day(box.start_timestamp)}</>}
                  </span>
                </span>
                {!box.enabled && <Badge color="gray">off</Badge>}
              </li>
            ))}
          </ul>
        )}
      </Panel>
      <Configuration integration={integration} at={at} mayWrite={mayWrite} />
    </div>
  );
}

interface Draft {
  text: string;
  /// What it began with, and when that was written.
  old: string;
  updated_at: string;
}

function Configuration({ integration, at, mayWrite }: { integration: Integration; at: At; mayWrite: boolean }) {
  const now = JSON.stringify(integration.configuration, null, 2);
  // It outlives what comes from the server meanwhile: the switch above, or a change by somebody else.
  const [draft, setDraft] = useState<Draft | null>(null);
  const write = (text: string) => setDraft((held) => text === now ? null : { old: now, updated_at: integration.updated_at, ...held, text });
  const save = useAction(({ text, old, updated_at }: Draft) => {
    // The server says what is wrong with it, and whether somebody else was faster.
    const configuration = JSON.parse(text) as NonNullable<Changes["configuration"]>;
    return change(at, { configuration, updated_at: old === now ? integration.updated_at : updated_at });
  }, "Saved.");
  const undo = () => {
    setDraft(null);
    save.reset();
  };
  // One for each version, so that its history does not bring back a secret that was taken.
  const key = draft?.updated_at ?? integration.updated_at;
  return (
    <Panel title="Configuration">
      <p style={{ marginTop: 0, fontSize: "0.88rem", color: "var(--mantine-color-dimmed)" }}>
        {mayWrite ? (
          <>
            Secrets are taken (<code>password</code>, <code>client_secret</code>, <code>private_key</code>) and not shown again; without them, the kept ones stay.
            Whoever changes where they are sent gives them anew.
          </>
        ) : "Secrets are kept, and not shown."}
      </p>
      <Suspense fallback={null}><Editor key={key} text={draft?.text ?? now} onChange={write} readOnly={!mayWrite} label="Configuration of the integration" /></Suspense>
      {save.error !== null && <div style={{ marginTop: 12 }}><Failure error={save.error} /></div>}
      {mayWrite && (
        <div style={{ display: "flex", gap: 10, marginTop: 14 }}>
          <Button disabled={draft === null} loading={save.isPending} onClick={() => draft && save.mutate(draft, { onSuccess: () => setDraft(null) })}>Save</Button>
          <Button variant="default" disabled={draft === null} onClick={undo}>Undo</Button>
        </div>
      )}
    </Panel>
  );
}
