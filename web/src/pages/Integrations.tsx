/// Integrations of a project: mailboxes that the platform itself reads.

import { Badge } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { endpoint, full, put } from "../api/client";
import { integrations as integrationsQuery } from "../api/queries";
import type { Integration } from "../api/schema";
import { Dot } from "../parts/basics";
import { FormButton, Limited } from "../parts/forms";
import { plural, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Listing, Row } from "../parts/Listing";
import { useMay } from "../parts/may";
import { go, path, useNames } from "../router";

const REASONS = { user: "switched off", quota: "a quota is used up", sync_error: "it failed" };

/// Why an integration is off, as far as that is known.
export const why = ({ disabled_reason: reason }: Integration) => (reason === null ? "off" : `off: ${REASONS[reason]}`);

export default function Integrations() {
  const { project } = useNames("project");
  const found = useQuery(integrationsQuery(project));
  const make = useMay(project)("integrations-write") && (
    <FormButton
      label="New integration"
      title="New integration"
      submit="Create"
      icon={<Icon name="plus" size={16} />}
      act={({ name = "", title }) => put("/api/_private/integrations/{integration}", {
        path: { integration: full(project, name) },
        json: { integration: { ...(title && { title }), enabled: false, configuration: { mailboxes: [] } } },
      })}
      done={({ integration }) => go(path`/p/${project}/integrations/${integration.name}`)}
    >
      <Limited name="name" label="Name" required pattern="[A-Za-z0-9\-_]+" most={256} description="Part of addresses and commands: letters, digits, - and _" data-autofocus />
      <Limited name="title" label="Title" most={256} />
    </FormButton>
  );
  return (
    <Listing
      of={found}
      project={project}
      title="Integrations"
      about="Connections to Exchange, with the mailboxes that flow into buckets."
      make={make}
      icon="integration"
      first={{
        title: "Describe a connection",
        text: "An integration names a server, a sign-in and mailboxes. Its secrets are sealed, and never shown again.",
        label: "The same with the official client",
        command: `re --endpoint ${endpoint} --token TOKEN create integration ${project}/exchange --file integration.json`,
      }}
      row={(one) => (
        <Row
          key={one.id}
          to={path`/p/${one.owner}/integrations/${one.name}`}
          before={<Dot state={one.enabled ? "good" : one.disabled_reason === "sync_error" ? "bad" : "none"} label={one.enabled ? "On" : "Off"} />}
          title={one.title || one.name}
          badge={!one.enabled && <Badge color={one.disabled_reason === "sync_error" ? "red" : "gray"}>{why(one)}</Badge>}
          about={<>{plural(one.configuration.mailboxes.length, "mailbox", "mailboxes")} · changed <When time={one.updated_at} /></>}
        />
      )}
    />
  );
}
