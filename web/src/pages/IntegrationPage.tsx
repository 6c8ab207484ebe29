/// An integration: its mailboxes, its errors, and its configuration.

import { Badge, Button, Switch } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { full, get, post, remove, url } from "../api/client";
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
  const crumbs = [{ title: names.project, to: path`/p/${names.project}` }, { title: "Integrations", to: path`/p/${names.project}/integrations` }];
  return (
    <>
      <Head title={found.data?.title || names.integration} crumbs={crumbs} about={`${names.project}/${names.integration}`}>
        <Button component="a" variant="default" href={url("/api/_private/integrations/{integration}/appliance-config", at)} download={`${names.integration}.json`} leftSection={<Icon name="download" size={15} />}>For an appliance</Button>
        {mayWrite && (
          <SureButton label="Delete" title={`Delete ${names.integration}?`} act={() => remove("/api/_private/integrations/{integration}", at)} done={() => go(path`/p/${names.project}/integrations`)} said="The integration is gone.">
            Its configuration and its secrets go with it. The mail that came through it stays.
          </SureButton>
        )}
      </Head>
      <Await of={found}>{(integration) => <Contents key={integration.updated_at} integration={integration} at={at} />}</Await>
    </>
  );
}

function Contents({ integration, at }: { integration: Integration; at: At }) {
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
        <Tile name="State" value={(
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
        {boxes.length === 0 ? <Empty icon="mail" title="No mailboxes yet">Add them to the configuration below.</Empty> : (
          <ul className="rows">
            {boxes.map((box) => (
              <li key={box.email} className="row">
                <Dot state={box.enabled ? "good" : "none"} label={box.enabled ? "On" : "Off"} />
                <span style={{ flex: 1, minWidth: 0 }}>
                  <span className="clip" style={{ fontWeight: 600, display: "block" }}>{box.email}</span>
                  <span style={{ fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>
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
      <Configuration integration={integration} at={at} />
    </div>
  );
}

function Configuration({ integration, at }: { integration: Integration; at: At }) {
  const old = JSON.stringify(integration.configuration, null, 2);
  const [text, setText] = useState(old);
  const save = useAction((text: string) => {
    // The server says what is wrong with it.
    const configuration = JSON.parse(text) as NonNullable<Changes["configuration"]>;
    return change(at, { configuration, updated_at: integration.updated_at });
  }, "Saved.");
  return (
    <Panel title="Configuration">
      <p style={{ marginTop: 0, fontSize: "0.88rem", color: "var(--mantine-color-dimmed)" }}>
        Secrets are taken (<code>password</code>, <code>client_secret</code>, <code>private_key</code>) and not shown again; without them, the kept ones stay.
      </p>
      <Suspense fallback={null}><Editor text={text} onChange={setText} label="Configuration of the integration" /></Suspense>
      {save.error !== null && <div style={{ marginTop: 12 }}><Failure error={save.error} /></div>}
      <div style={{ display: "flex", gap: 10, marginTop: 14 }}>
        <Button disabled={text === old} loading={save.isPending} onClick={() => save.mutate(text)}>Save</Button>
        <Button variant="default" disabled={text === old} onClick={() => setText(old)}>Undo</Button>
      </div>
    </Panel>
  );
}
