/// All projects that one may see.

import { useQuery } from "@tanstack/react-query";
import { endpoint, put } from "../api/client";
import { counts, projects as projectsQuery, user as userQuery } from "../api/queries";
import { mayEverywhere } from "../api/permissions";
import type { Project, User } from "../api/schema";
import { Await, Command, Empty, Head, Panel } from "../parts/basics";
import { FormButton, Limited } from "../parts/forms";
import { plural, When } from "../parts/format";
import { Icon } from "../parts/Icon";
import { Letter } from "../parts/Letter";
import { go, Link } from "../router";

export default function Projects() {
  const projects = useQuery(projectsQuery);
  const user = useQuery(userQuery).data;
  const mayMake = user !== undefined && mayEverywhere(user, "projects-admin");
  return (
    <>
      <Head title="Projects" about="A project holds buckets of mail, and the people who may see them.">
        {mayMake && <NewProject user={user} />}
      </Head>
      <Await of={projects}>
        {(list) => list.length === 0 ? <First user={user} /> : (
          <div className="cards">
            {list.map((project) => <Card key={project.id} project={project} />)}
          </div>
        )}
      </Await>
    </>
  );
}

function Card({ project }: { project: Project }) {
  const found = useQuery(counts(project.name)).data;
  return (
    <Link to={`/p/${encodeURIComponent(project.name)}`} className="card">
      <div style={{ display: "flex", gap: 12, alignItems: "center" }}>
        <Letter of={project.name} square />
        <div style={{ minWidth: 0 }}>
          <div style={{ fontWeight: 640 }} className="clip">{project.title || project.name}</div>
          <div style={{ fontSize: "0.85rem", color: "var(--mantine-color-dimmed)" }} className="clip">{project.name}</div>
        </div>
      </div>
      {project.description !== "" && <p style={{ margin: "12px 0 0", fontSize: "0.9rem" }} className="description" data-short>{project.description}</p>}
      <div style={{ marginTop: 16, fontSize: "0.85rem", color: "var(--mantine-color-dimmed)" }}>
        {found
          ? [plural(found.buckets, "bucket"), plural(found.sources, "source"), plural(found.users_with_permissions, "person", "people")].join(" · ")
          : <>since <When time={project.created_at} /></>}
      </div>
    </Link>
  );
}

function NewProject({ user }: { user: User }) {
  return (
    <FormButton
      label="New project"
      title="New project"
      submit="Create"
      icon={<Icon name="plus" size={16} />}
      act={({ name = "", title, description = "" }) => put("/api/_private/projects/{project}", {
        path: { project: name }, json: { project: { ...(title && { title }), description }, user_ids: [user.id] },
      })}
      done={({ project }) => go(`/p/${encodeURIComponent(project.name)}`)}
    >
      <Limited name="name" label="Name" description="Part of addresses and commands: letters, digits, - _ and ." required pattern="[A-Za-z0-9\-_.]+" most={256} data-autofocus />
      <Limited name="title" label="Title" most={1024} />
      <Limited name="description" label="Description" most={4096} lines />
    </FormButton>
  );
}

function First({ user }: { user: User | undefined }) {
  const mayMake = user !== undefined && mayEverywhere(user, "projects-admin");
  if (!mayMake) {
    return (
      <Panel>
        <Empty icon="home" title="No project yet">
          Ask an administrator of {endpoint} for the permissions of a project; it appears here at once.
        </Empty>
      </Panel>
    );
  }
  return (
    <Panel>
      <Empty icon="home" title="Make the first project" action={(
        <>
          <NewProject user={user} />
          <Command label="The same with the official client" text={`re --endpoint ${endpoint} --token TOKEN create project acme --user-ids ${user.id}`} />
        </>
      )}>
        It will hold the buckets that mail flows into. Here, or with the official client:
      </Empty>
    </Panel>
  );
}
