/// What somebody will probably be let do. The server decides; this only keeps dead ends out of sight.

import type { Role, User } from "./schema";

const INCLUDING: Record<string, string[]> = {
  "audit-read": ["role-cm-tenant-admin"],
  "projects-admin": ["tenant-admin", "role-cm-tenant-admin"],
  "tenant-admin": ["role-cm-tenant-admin"],
  "tenant-users-read": ["tenant-admin", "role-cm-tenant-admin"],
  "tenant-quota-read": ["tenant-admin", "role-cm-tenant-admin"],
  "tenant-quota-write": ["tenant-admin", "role-cm-tenant-admin"],
};

export function mayEverywhere(user: User, permission: string): boolean {
  // What a group of the provider gives counts as well, but for “root”.
  const own = new Set<string>([...user.global_permissions, ...user.sso_global_permissions]);
  return user.global_permissions.includes("root") || [permission, ...(INCLUDING[permission] ?? [])].some((name) => own.has(name));
}

/// What one holds in a project, by itself or by a role.
export function mayIn(user: User, roles: Role[], project: string, permission: string): boolean {
  const own = new Set<string>([...(user.organisation_permissions[project] ?? []), ...(user.sso_organisation_permissions[project] ?? [])]);
  const includes = (role: Role) => own.has(role.name) && role.permissions.includes(permission);
  return user.global_permissions.includes("root") || own.has(permission) || roles.some(includes);
}
