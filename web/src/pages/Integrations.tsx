/// Integrations of a project: mailboxes that the platform itself reads.

import { Badge, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { endpoint, path, put } from "../api/client";
import { integrations as integrationsQuery } from "../api/queries";
import type { Integration } from "../api/types";
import { Await, Command, Dot, Empty, Head, Panel } from "../parts/basics";
import { FormButton } from "../parts/forms";
import { plural, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { go, Link, useNames } from "../router";

export const REASONS: Record<string, string> = { user: "switched off", quota: "a quota is used up", sync_error: "it failed" };

export default function Integrations() {
  const { project } = useNames("project");
  const found = useQuery(integrationsQuery(project));
  const make = (
    <FormButton
      label="New integration"
      title="New integration"
      submit="Create"
      icon={<Icon name="plus" size={16} />}
      act={(values) => put<{ integration: Integration }>(path`api/_private/integrations/${project}/${values["name"] ?? ""}`, {
        integration: { title: values["title"] || values["name"], enabled: false, configuration: { mailboxes: [] } },
      })}
      done={({ integration }) => go(path`/p/${project}/integrations/${integration.name}`)}
    >
      <TextInput name="name" label="Name" required pattern="[A-Za-z0-9\-_]+" maxLength={256} description="Part of addresses and commands: letters, digits, - and _" data-autofocus />
      <TextInput name="title" label="Title" maxLength={256} />
    </FormButton>
  );
  return (
    <>
      <Head title="Integrations" crumbs={[{ title: "Projects", to: "/" }, { title: project, to: path`/p/${project}` }]} about="Connections to Exchange, with the mailboxes that flow into buckets.">{make}</Head>
      <Await of={found}>
        {(list) => list.length === 0 ? (
          <Panel>
            <Empty icon="integration" title="Describe a connection" action={(
              <>
                {make}
                <Command label="The same with the official client" text={`re --endpoint ${endpoint} --token TOKEN create integration ${project}/exchange --file integration.json`} />
              </>
            )}>
              An integration names a server, a sign-in and mailboxes. Its secrets are sealed, and never shown again.
            </Empty>
          </Panel>
        ) : (
          <Panel flush>
            <ul className="rows">
              {list.map((one) => (
                <li key={one.id}>
                  <Link className="row" to={path`/p/${one.owner}/integrations/${one.name}`}>
                    <Dot state={one.enabled ? "good" : one.disabled_reason === "sync_error" ? "bad" : "none"} label={one.enabled ? "On" : "Off"} />
                    <span style={{ flex: 1, minWidth: 0 }}>
                      <span style={{ display: "flex", gap: 8, alignItems: "center" }}>
                        <span className="clip" style={{ fontWeight: 600 }}>{one.title || one.name}</span>
                        {!one.enabled && <Badge color={one.disabled_reason === "sync_error" ? "red" : "gray"}>off{one.disabled_reason ? `: ${REASONS[one.disabled_reason] ?? one.disabled_reason}` : ""}</Badge>}
                      </span>
                      <span style={{ fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>{plural(one.configuration.mailboxes.length, "mailbox", "mailboxes")} · changed <When time={one.updated_at} /></span>
                    </span>
                  </Link>
                </li>
              ))}
            </ul>
          </Panel>
        )}
      </Await>
    </>
  );
}
