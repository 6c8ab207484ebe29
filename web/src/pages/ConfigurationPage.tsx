/// A configuration: checked while it is written, compared before it is kept, and every version of it.

import { Badge, Button, Group, Modal, Switch, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useState } from "react";
import { ApiError, endpoint, getText, put } from "../api/client";
import { configVersions } from "../api/queries";
import type { ConfigVersion } from "../api/schema";
import { Await, Command, Empty, Failure, Head, Panel } from "../parts/basics";
import { useAction } from "../parts/forms";
import { size, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { useMay } from "../parts/may";
import { about, check } from "../editor/check";
import { path, useNames } from "../router";

const Editor = lazy(() => import("../editor/Editor"));
const Diff = lazy(() => import("../editor/Diff"));

const TEMPLATE = (project: string) => `${JSON.stringify({
  host: "https://exchange.example.com",
  auth_type: "ntlm",
  auth_user: "EXAMPLE\\svc-mail",
  mailboxes: { "claims@example.com": { bucket: { owner: project, name: "mail" }, start_from: "bucket" } },
}, null, 2)}\n`;

export default function ConfigurationPage() {
  const names = useNames("project", "config");
  const current = useQuery({
    queryKey: ["configs", names.project, names.config, "current"],
    queryFn: async ({ signal }) => {
      try {
        const at = { project: names.project, name: names.config };
        return await getText("/api/v1/appliance-configs/{project}/{name}", { path: at, signal });
      } catch (error) {
        // One that is not there yet is about to be written.
        if (error instanceof ApiError && error.status === 404 && !error.message.includes("project")) return null;
        throw error;
      }
    },
    refetchOnWindowFocus: false,
  });
  const mayWrite = useMay(names.project)("appliance-config-write");
  const crumbs = [{ title: names.project, to: path`/p/${names.project}` }, { title: "Configurations", to: path`/p/${names.project}/configurations` }];
  return (
    <>
      <Head title={names.config} crumbs={crumbs} about={`${names.project}/${names.config}`} />
      <Await of={current} height={300}>
        {(text) => text === null && !mayWrite
          ? <Panel><Empty icon="config" title="There is no such configuration">Whoever administers {names.project} can write it.</Empty></Panel>
          : <Contents key={text} project={names.project} name={names.config} kept={text} mayWrite={mayWrite} />}
      </Await>
    </>
  );
}

function Contents({ project, name, kept, mayWrite }: { project: string; name: string; kept: string | null; mayWrite: boolean }) {
  const [text, setText] = useState(kept ?? TEMPLATE(project));
  const [compared, setCompared] = useState<{ before: string; after: string; title: string } | null>(null);
  const [hide, setHide] = useState(true);
  const [key, setKey] = useState<string | null>(null);
  const problems = useMemo(() => check(text), [text]);
  const versions = useQuery({ ...configVersions(project, name), enabled: kept !== null });
  const save = useAction((file: string) => put("/api/v1/appliance-configs/{project}/{name}", { path: { project, name }, file }), "Kept. Appliances notice it within a minute.");
  const help = key === null ? null : about(key);
  const load = ({ version }: ConfigVersion) =>
    getText("/api/_private/appliance-configs/{project}/{name}/versions/{version}", { path: { project, name, version } });
  const close = () => {
    setCompared(null);
    save.reset();
  };
  return (
    <div className="side-by-side">
      <div className="column" style={{ gap: 14 }}>
        <Suspense fallback={null}>
          <Editor text={text} onChange={setText} readOnly={!mayWrite} label={`Configuration ${name}`} check={check} hideSecrets={hide} onKey={setKey} />
        </Suspense>
        <div role="status" style={{ fontSize: "0.88rem", minHeight: "1.4em", color: problems.length > 0 ? "var(--app-bad)" : "var(--app-good)" }} className="breakable">
          {problems.length === 0 ? "It has the form of the reference." : problems.slice(0, 3).map((one) => one.message).join(" · ")}
        </div>
        <div style={{ display: "flex", flexWrap: "wrap", gap: 12, alignItems: "center" }}>
          {mayWrite && <Button disabled={text === kept || problems.length > 0} onClick={() => setCompared({ before: kept ?? "", after: text, title: "Keep these changes?" })}>Review and save</Button>}
          {mayWrite && <Button variant="default" disabled={text === (kept ?? "")} onClick={() => setText(kept ?? TEMPLATE(project))}>Undo</Button>}
          <Switch label="Hide secrets" checked={hide} onChange={(event) => setHide(event.currentTarget.checked)} style={{ marginLeft: "auto" }} />
        </div>
      </div>
      <div className="column" style={{ gap: 20 }}>
        <Panel title={help ? key ?? "" : "Reference"}>
          <p style={{ margin: 0, fontSize: "0.88rem", color: "var(--mantine-color-dimmed)" }} aria-live="polite" className="breakable">
            {help ? <>{help.text}{help.fallback !== undefined && <> Without it: <code>{help.fallback}</code>.</>}</> : "Put the cursor on a key, and its description is here."}
          </p>
        </Panel>
        {kept !== null && (
          <Panel title="History" flush>
            <Await of={versions} height={60}>
              {(list) => <History list={list} compare={async (version) => setCompared({ before: await load(version), after: kept, title: `Since version ${version.version}` })}
                restore={mayWrite && (async (version) => setCompared({ before: kept, after: await load(version), title: `Restore version ${version.version}?` }))} />}
            </Await>
          </Panel>
        )}
        <Panel title="With the appliance">
          <Command label="Run the appliance" text={`reinfer-ews --reinfer-api-endpoint ${endpoint}/api/ \\\n  --remote-config-owner ${project} \\\n  --remote-config-key ${name}`} />
        </Panel>
      </div>
      <Modal size="xl" opened={compared !== null} onClose={close} title={<Text fw={650} size="lg">{compared?.title}</Text>} closeButtonProps={{ "aria-label": "Close" }}>
        {compared && <Suspense fallback={null}><Diff before={compared.before} after={compared.after} label="Changes" /></Suspense>}
        {save.error !== null && <div style={{ marginTop: 14 }}><Failure error={save.error} /></div>}
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={close}>{compared?.after === kept ? "Close" : "Cancel"}</Button>
          {compared && compared.after !== kept && (
            <Button loading={save.isPending} onClick={() => save.mutate(compared.after, { onSuccess: close })}>Save</Button>
          )}
        </Group>
      </Modal>
    </div>
  );
}

function History({ list, compare, restore }: {
  list: ConfigVersion[];
  compare: (version: ConfigVersion) => Promise<void>;
  restore: false | ((version: ConfigVersion) => Promise<void>);
}) {
  const act = useAction((run: () => Promise<void>) => run());
  return (
    <>
      {act.error !== null && <Failure error={act.error} />}
      <ol className="rows">
        {list.map((version) => (
          <li key={version.version} className="row" style={{ flexWrap: "wrap" }}>
            <span style={{ color: "var(--mantine-color-dimmed)" }}><Icon name="history" size={16} /></span>
            <span style={{ flex: 1, minWidth: 120 }}>
              <span style={{ display: "flex", gap: 8, fontWeight: 600, fontSize: "0.9rem" }}>Version {version.version} {version.current && <Badge>in force</Badge>}</span>
              <span style={{ fontSize: "0.82rem", color: "var(--mantine-color-dimmed)" }}>{version.written_by}, <When time={version.created_at} /> · {size(version.size)}</span>
            </span>
            {!version.current && (
              <Group gap={6}>
                <Button size="compact-xs" variant="default" aria-label={`Compare with version ${version.version}`} onClick={() => act.mutate(() => compare(version))}>Compare</Button>
                {restore && <Button size="compact-xs" variant="default" aria-label={`Restore version ${version.version}`} onClick={() => act.mutate(() => restore(version))}>Restore</Button>}
              </Group>
            )}
          </li>
        ))}
      </ol>
    </>
  );
}
