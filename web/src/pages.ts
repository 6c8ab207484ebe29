/// Every page: its address, its title, and the file that draws it, which is loaded when it is needed.

import { lazy, type ComponentType } from "react";

export interface Page {
  pattern: string;
  title: (names: Record<string, string>) => string;
  View: ComponentType;
  /// Seen without being signed in.
  open?: boolean;
}

function page(
  pattern: string,
  title: string | ((names: Record<string, string>) => string),
  load: () => Promise<{ default: ComponentType }>,
  open = false,
): Page {
  return { pattern, title: typeof title === "string" ? () => title : title, View: lazy(load), open };
}

const of = (what: string) => (names: Record<string, string>) => `${what} · ${names["project"] ?? ""}`;

/// The first part of each pattern is also in `crates/platform/src/ui.rs`, where a test reads this file.
export const PAGES: Page[] = [
  page("/", "Projects", () => import("./pages/Projects")),
  page("/sign-in", "Sign in", () => import("./pages/SignIn"), true),
  page("/link", "Set your password", () => import("./pages/PasswordLink"), true),
  page("/p/:project", (names) => names["project"] ?? "", () => import("./pages/ProjectPage")),
  page("/p/:project/buckets/:bucket", (names) => `${names["bucket"] ?? ""} · ${names["project"] ?? ""}`, () => import("./pages/BucketPage")),
  page("/p/:project/sources", of("Sources"), () => import("./pages/Sources")),
  page("/p/:project/sources/:source", (names) => `${names["source"] ?? ""} · ${names["project"] ?? ""}`, () => import("./pages/SourcePage")),
  page("/p/:project/sources/:source/csv", of("Upload a CSV"), () => import("./pages/CsvPage")),
  page("/p/:project/sources/:source/comments/:comment", of("Message"), () => import("./pages/CommentPage")),
  page("/p/:project/sources/:source/threads/:thread", of("Thread"), () => import("./pages/ThreadPage")),
  page("/p/:project/integrations", of("Integrations"), () => import("./pages/Integrations")),
  page("/p/:project/integrations/:integration", (names) => `${names["integration"] ?? ""} · ${names["project"] ?? ""}`, () => import("./pages/IntegrationPage")),
  page("/p/:project/configurations", of("Configurations"), () => import("./pages/Configurations")),
  page("/p/:project/configurations/:config", (names) => `${names["config"] ?? ""} · ${names["project"] ?? ""}`, () => import("./pages/ConfigurationPage")),
  page("/p/:project/people", of("People"), () => import("./pages/People")),
  page("/search", "Search", () => import("./pages/Search")),
  page("/users", "Users", () => import("./pages/Users")),
  page("/users/:user", "User", () => import("./pages/UserPage")),
  page("/audit", "Audit log", () => import("./pages/Audit")),
  page("/quotas", "Quotas", () => import("./pages/Quotas")),
  page("/outbox", "Mail outbox", () => import("./pages/Outbox")),
  page("/account", "Your account", () => import("./pages/AccountPage")),
];
