/// Links to everything: what is everywhere, what is in the project one is in, and administration.

import { useQuery } from "@tanstack/react-query";
import { mayEverywhere } from "../api/permissions";
import { projects as projectsQuery } from "../api/queries";
import type { User } from "../api/schema";
import { Icon, type IconName } from "../parts/Icon";
import { useMay, useMayEverywhere } from "../parts/may";
import { Link, useAddress } from "../router";
import { Brand } from "./Brand";

export interface Goal {
  title: string;
  to: string;
  icon: IconName;
  /// Also marked on the pages below it.
  within?: boolean;
}

export const everywhere: Goal[] = [
  { title: "Projects", to: "/", icon: "home" },
  { title: "Search", to: "/search", icon: "search" },
];

/// What of a project one may look at.
export function useGoals(name: string | null): Goal[] {
  const may = useMay(name ?? "");
  const seesUsers = useMayEverywhere("tenant-users-read");
  if (name === null) return [];
  const at = `/p/${encodeURIComponent(name)}`;
  const goals: (Goal & { shown: boolean })[] = [
    { title: "Overview", to: at, icon: "bucket", shown: true },
    { title: "Sources", to: `${at}/sources`, icon: "source", within: true, shown: may("sources-read") },
    { title: "Integrations", to: `${at}/integrations`, icon: "integration", within: true, shown: may("integrations-read") },
    { title: "Configurations", to: `${at}/configurations`, icon: "config", within: true, shown: may("appliance-config-read") },
    { title: "People", to: `${at}/people`, icon: "people", shown: seesUsers || may("users-read") },
  ];
  return goals.filter((goal) => goal.shown);
}

export function ofAdministrators(user: User): Goal[] {
  const goals: (Goal & { need: string })[] = [
    { title: "Users", to: "/users", icon: "shield", within: true, need: "tenant-users-read" },
    { title: "Audit log", to: "/audit", icon: "audit", need: "audit-read" },
    { title: "Quotas", to: "/quotas", icon: "quota", need: "tenant-quota-read" },
    { title: "Mail outbox", to: "/outbox", icon: "outbox", need: "tenant-admin" },
  ];
  return goals.filter((goal) => mayEverywhere(user, goal.need));
}

/// Name of the project that the address is in.
export function useProject(): string | null {
  const { path } = useAddress();
  const name = /^\/p\/([^/]+)/.exec(path)?.[1];
  return name === undefined ? null : decodeURIComponent(name);
}

function Links({ goals, title }: { goals: Goal[]; title?: string | undefined }) {
  const { path } = useAddress();
  if (goals.length === 0) return null;
  return (
    <nav aria-label={title ?? "Everywhere"}>
      {title !== undefined && <div className="nav-title clip">{title}</div>}
      {goals.map((goal) => (
        <Link
          key={goal.to}
          to={goal.to}
          className="nav-link"
          aria-current={path === goal.to ? "page" : undefined}
          data-within={(goal.within && path.startsWith(`${goal.to}/`)) || (goal.title === "Overview" && path.startsWith(`${goal.to}/buckets/`)) || undefined}
        >
          <Icon name={goal.icon} /> <span className="clip">{goal.title}</span>
        </Link>
      ))}
    </nav>
  );
}

export function Navigation({ user, brand = true }: { user: User; brand?: boolean }) {
  const name = useProject();
  const projects = useQuery(projectsQuery);
  const project = projects.data?.find((one) => one.name === name);
  const title = project?.title || name;
  const goals = useGoals(name);
  return (
    <>
      {brand && <Link to="/" className="plain brand"><Brand /> Tributary</Link>}
      <Links goals={everywhere} />
      {name !== null && <Links goals={goals} title={title ?? name} />}
      <Links goals={ofAdministrators(user)} title="Administration" />
      <div style={{ marginTop: "auto", paddingTop: 20 }}>
        <Links goals={[{ title: user.username, to: "/account", icon: "account" }]} title="Signed in as" />
      </div>
    </>
  );
}
