/// What somebody will probably be let do. The server decides; this only keeps dead ends out of sight.

import type { User } from "./schema";

const INCLUDING: Record<string, string[]> = {
  "audit-read": [],
  "projects-admin": ["tenant-admin", "role-cm-tenant-admin"],
  "tenant-admin": ["role-cm-tenant-admin"],
  "tenant-users-read": ["tenant-admin", "role-cm-tenant-admin"],
  "tenant-quota-read": ["tenant-admin", "role-cm-tenant-admin"],
};

export function mayEverywhere(user: User, permission: string): boolean {
  const own = user.global_permissions;
  return ["root", permission, ...(INCLUDING[permission] ?? [])].some((name) => own.includes(name));
}
