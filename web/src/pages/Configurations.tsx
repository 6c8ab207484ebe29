/// Configurations of appliances that are kept here.

import { useQuery } from "@tanstack/react-query";
import { endpoint } from "../api/client";
import { configs as configsQuery } from "../api/queries";
import { FormButton, Limited } from "../parts/forms";
import { When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Listing, Row } from "../parts/Listing";
import { useMay } from "../parts/may";
import { go, path, useNames } from "../router";

export default function Configurations() {
  const { project } = useNames("project");
  const found = useQuery(configsQuery(project));
  const make = useMay(project)("appliance-config-write") && (
    <FormButton
      label="New configuration"
      title="New configuration"
      submit="Write it"
      icon={<Icon name="plus" size={16} />}
      act={({ name = "" }) => Promise.resolve(name)}
      done={(name) => go(path`/p/${project}/configurations/${name}`)}
    >
      <Limited name="name" label="Name" description="What appliances are told as --remote-config-key" required pattern="[A-Za-z0-9\-_]+" most={256} data-autofocus />
    </FormButton>
  );
  return (
    <Listing
      of={found}
      project={project}
      title="Configurations"
      about="Appliances read their configuration from here, and notice when it changes."
      make={make}
      icon="config"
      first={{
        title: "Write the first configuration",
        text: "It names the server, the sign-in and the mailboxes. It is checked before it is kept, and every version stays.",
        label: "Upload a file",
        command: `curl --fail --header "Authorization: Bearer TOKEN" --form file=@config.json \\\n  --request PUT ${endpoint}/api/v1/appliance-configs/${project}/config`,
      }}
      row={(one) => (
        <Row
          key={one.name}
          to={path`/p/${project}/configurations/${one.name}`}
          before={<span style={{ color: "var(--mantine-color-dimmed)" }}><Icon name="config" /></span>}
          title={one.name}
          about={<>version {one.version} · by {one.written_by} <When time={one.created_at} /></>}
        />
      )}
    />
  );
}
