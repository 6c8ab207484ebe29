/// Who may do what in a project.

import { NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { post } from "../api/client";
import { roles as rolesQuery, users as usersQuery } from "../api/queries";
import type { ProjectPermission, User } from "../api/schema";
import { Await, Empty, Head, Panel } from "../parts/basics";
import { FormButton } from "../parts/forms";
import { Icon } from "../parts/Icon";
import { Letter } from "../parts/Letter";
import { useMay, useMayEverywhere } from "../parts/may";
import { PermissionsEditor } from "../parts/PermissionsEditor";
import { path, useNames } from "../router";

export default function People() {
  const { project } = useNames("project");
  const users = useQuery(usersQuery);
  const roles = useQuery({ ...rolesQuery, retry: false }).data;
  const ofProject = roles?.roles.filter((one) => one.scope === "project") ?? [];
  const known: ProjectPermission[] = roles?.permissions.project ?? [];
  const isAdministrator = useMayEverywhere("tenant-admin");
  const mayChange = useMay(project)("users-write") || isAdministrator;
  const give = (user: string, names: ProjectPermission[]) =>
    post("/api/_private/users/{user}", { path: { user }, json: { user: { organisation_permissions: { [project]: names } } } });
  const isMember = (user: User) => (user.organisation_permissions[project]?.length ?? 0) > 0;
  const others = users.data?.filter((one) => !isMember(one)) ?? [];
  return (
    <>
      <Head title="People" crumbs={[{ title: "Projects", to: "/" }, { title: project, to: path`/p/${project}` }]} about="Who may see this project, and what they may do in it.">
        {mayChange && others.length > 0 && (
          <FormButton label="Add somebody" title="Add somebody" submit="Add" icon={<Icon name="plus" size={16} />} act={({ user = "", role = "" }) => give(user, [role as ProjectPermission])} said="Added.">
            <NativeSelect name="user" label="User" required data={others.map((one) => ({ value: one.id, label: `${one.username} (${one.email})` }))} data-autofocus />
            <NativeSelect name="role" label="Role" data={ofProject.length > 0 ? ofProject.map((one) => ({ value: one.name, label: one.title || one.name })) : [{ value: "role-cm-project-admin", label: "Project administrator" }, { value: "buckets-read", label: "buckets-read" }]} />
          </FormButton>
        )}
      </Head>
      <Await of={users}>
        {(list) => {
          const members = list.filter(isMember);
          if (members.length === 0) {
            return (
              <Panel>
                <Empty icon="people" title="Nobody is a member yet">{mayChange && "Add users with the button above. "}Whoever has the global permission “root” sees everything all the same.</Empty>
              </Panel>
            );
          }
          return (
            <div className="column" style={{ gap: 16 }}>
              {members.map((user) => (
                <Panel key={user.id}>
                  <div style={{ display: "flex", gap: 13, alignItems: "center", marginBottom: 14 }}>
                    <Letter of={user.username} />
                    <div style={{ minWidth: 0 }}>
                      <div style={{ fontWeight: 600 }} className="clip">{user.username}</div>
                      <div style={{ fontSize: "0.85rem", color: "var(--mantine-color-dimmed)" }} className="clip">{user.email}</div>
                    </div>
                  </div>
                  <PermissionsEditor label={`Permissions of ${user.username}`} held={user.organisation_permissions[project] ?? []} roles={ofProject} known={known} mayChange={mayChange} save={(names) => give(user.id, names)} />
                </Panel>
              ))}
            </div>
          );
        }}
      </Await>
    </>
  );
}
