/// One user: what they may do everywhere and in each project, and the ways to let them in or keep them out.

import { Badge, Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { get, post, remove } from "../api/client";
import type { Given } from "../api/document";
import { mayIn } from "../api/permissions";
import { projects as projectsQuery, roles as rolesQuery, user as userQuery } from "../api/queries";
import type { IssuedLink, User } from "../api/schema";
import { Await, Failure, Head, Panel, Tile } from "../parts/basics";
import { SureButton, useAction } from "../parts/forms";
import { day, When } from "../parts/format";
import { useMayEverywhere } from "../parts/may";
import { NewLink } from "../parts/NewLink";
import { PermissionsEditor } from "../parts/PermissionsEditor";
import { go, useNames } from "../router";

export default function UserPage() {
  const { user: id } = useNames("user");
  const found = useQuery({
    queryKey: ["users", id],
    queryFn: async ({ signal }) => (await get("/api/_private/users/{user}", { path: { user: id }, signal })).user,
  });
  const [link, setLink] = useState<IssuedLink | null>(null);
  const me = useQuery(userQuery).data?.id === id;
  const at = { path: { user: id } };
  // Whoever may do everything is not for others to take over.
  const may = { administer: useMayEverywhere("tenant-admin"), all: useMayEverywhere("root") };
  const mayChange = may.all || (may.administer && found.data?.global_permissions.includes("root") === false);
  const issue = useAction(async () => (await post("/api/_private/users/{user}/link", { ...at, json: {} })).link);
  const disabled = found.data?.disabled === true;
  return (
    <>
      <Head title={found.data?.username ?? "User"} crumbs={[{ title: "Users", to: "/users" }]} about={found.data?.email}>
        {mayChange && <Button variant="default" onClick={() => issue.mutate(undefined, { onSuccess: setLink })} loading={issue.isPending}>Make a sign-in link</Button>}
        {mayChange && !me && (
          <>
            <SureButton label={disabled ? "Enable" : "Disable"} title={disabled ? "Let them in again?" : "Keep them out?"} act={() => post("/api/_private/users/{user}", { ...at, json: { user: { disabled: !disabled } } })} said={disabled ? "Enabled." : "Disabled."}>
              {disabled ? "Their tokens work again; they sign in anew." : "They are signed out everywhere, and their tokens stop working, until they are enabled again."}
            </SureButton>
            <SureButton label="Delete" title={`Delete ${found.data?.username ?? "the user"}?`} act={() => remove("/api/_private/users/{user}", at)} done={() => go("/users")} said="The user is gone.">
              Their permissions, tokens and sessions go with them. What they did stays in the audit log.
            </SureButton>
          </>
        )}
      </Head>
      {issue.error !== null && <div style={{ marginBottom: 16 }}><Failure error={issue.error} /></div>}
      {link && <NewLink link={link} close={() => setLink(null)} />}
      <Await of={found}>{(user) => <Contents user={user} mayChange={mayChange} />}</Await>
    </>
  );
}

type Changes = Given<"post", "/api/_private/users/{user}">["json"]["user"];

function Contents({ user, mayChange }: { user: User; mayChange: boolean }) {
  const me = useQuery(userQuery).data;
  const isAdministrator = useMayEverywhere("tenant-admin");
  // Of others, whoever may not see them is told none.
  const seesGlobal = useMayEverywhere("tenant-users-read") || me?.id === user.id;
  const projects = useQuery(projectsQuery).data ?? [];
  const roles = useQuery({ ...rolesQuery, retry: false }).data;
  const at = { path: { user: user.id } };
  const change = (changes: Changes) => post("/api/_private/users/{user}", { ...at, json: { user: changes } });
  const revoke = () => post("/api/_private/users/{user}/revoke", { ...at, json: {} });
  return (
    <div className="column">
      <div className="tiles">
        <Tile name="Since" value={<span style={{ fontSize: "1.15rem" }}>{day(user.created)}</span>} />
        <Tile name="Last seen" value={<span style={{ fontSize: "1.15rem" }}><When time={user.last_login_at} /></span>} />
        <Tile name="State" value={<span style={{ fontSize: "1.15rem" }}>{user.disabled ? "Disabled" : "Enabled"}</span>} />
      </div>
      {seesGlobal && (
        <Panel title="Everywhere">
          <PermissionsEditor
            label="Permissions everywhere"
            held={user.global_permissions}
            roles={roles?.roles.filter((one) => one.scope === "global") ?? []}
            known={roles?.permissions.global ?? []}
            mayChange={isAdministrator}
            save={(global_permissions) => change({ global_permissions })}
          />
        </Panel>
      )}
      {projects.map((project) => (
        <Panel key={project.id} title={project.title || project.name} aside={<Badge color="gray">{project.name}</Badge>}>
          <PermissionsEditor
            label={`Permissions in ${project.name}`}
            held={user.organisation_permissions[project.name] ?? []}
            roles={roles?.roles.filter((one) => one.scope === "project") ?? []}
            known={roles?.permissions.project ?? []}
            mayChange={isAdministrator || (me !== undefined && mayIn(me, roles?.roles ?? [], project.name, "users-write"))}
            save={(names) => change({ organisation_permissions: { [project.name]: names } })}
          />
        </Panel>
      ))}
      {mayChange && (
        <div>
          <SureButton label="Sign out everywhere" title="End all sessions and tokens?" act={revoke} said="All sessions are ended and all tokens revoked." variant="light">
            Every browser is signed out, and every token of this user stops working for good. Appliances that use one need a new one.
          </SureButton>
        </div>
      )}
    </div>
  );
}
