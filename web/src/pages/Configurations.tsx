/// Configurations of appliances that are kept here.

import { TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { endpoint, path } from "../api/client";
import { configs as configsQuery } from "../api/queries";
import { Await, Command, Empty, Head, Panel } from "../parts/basics";
import { FormButton } from "../parts/forms";
import { When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { go, Link, useNames } from "../router";

export default function Configurations() {
  const { project } = useNames("project");
  const found = useQuery(configsQuery(project));
  const make = (
    <FormButton
      label="New configuration"
      title="New configuration"
      submit="Write it"
      icon={<Icon name="plus" size={16} />}
      act={(values) => Promise.resolve(values["name"] ?? "")}
      done={(name) => go(path`/p/${project}/configurations/${name}`)}
    >
      <TextInput name="name" label="Name" description="What appliances are told as --remote-config-key" required pattern="[A-Za-z0-9\-_]+" maxLength={256} data-autofocus />
    </FormButton>
  );
  return (
    <>
      <Head title="Configurations" crumbs={[{ title: "Projects", to: "/" }, { title: project, to: path`/p/${project}` }]} about="Appliances read their configuration from here, and notice when it changes.">{make}</Head>
      <Await of={found}>
        {(list) => list.length === 0 ? (
          <Panel>
            <Empty icon="config" title="Write the first configuration" action={(
              <>
                {make}
                <Command label="Upload a file" text={`curl --fail --header "Authorization: Bearer TOKEN" --form file=@config.json \\\n  --request PUT ${endpoint}/api/v1/appliance-configs/${project}/config`} />
              </>
            )}>
              It names the server, the sign-in and the mailboxes. It is checked before it is kept, and every version stays.
            </Empty>
          </Panel>
        ) : (
          <Panel flush>
            <ul className="rows">
              {list.map((one) => (
                <li key={one.name}>
                  <Link className="row" to={path`/p/${project}/configurations/${one.name}`}>
                    <span style={{ color: "var(--mantine-color-dimmed)" }}><Icon name="config" /></span>
                    <span style={{ flex: 1, minWidth: 0 }}>
                      <span className="clip" style={{ fontWeight: 600, display: "block" }}>{one.name}</span>
                      <span style={{ fontSize: "0.84rem", color: "var(--mantine-color-dimmed)" }}>version {one.version} · by {one.written_by} <When time={one.updated_at} /></span>
                    </span>
                    <span style={{ color: "var(--mantine-color-dimmed)" }}><Icon name="chevron" /></span>
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
