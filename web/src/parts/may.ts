/// What whoever looks may do, for what a page offers.

import { useQuery } from "@tanstack/react-query";
import { mayEverywhere, mayIn } from "../api/permissions";
import { roles as rolesQuery, user as userQuery } from "../api/queries";

/// In a project.
export function useMay(project: string): (permission: string) => boolean {
  const user = useQuery(userQuery).data;
  const roles = useQuery(rolesQuery).data?.roles ?? [];
  return (permission) => user !== undefined && mayIn(user, roles, project, permission);
}

export function useMayEverywhere(permission: string): boolean {
  const user = useQuery(userQuery).data;
  return user !== undefined && mayEverywhere(user, permission);
}
