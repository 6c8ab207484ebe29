/// What pages ask for, by name; what is live is asked for again while the page is looked at.

import { QueryClient, queryOptions } from "@tanstack/react-query";
import { ApiError, full, get } from "./client";
import type { Answer } from "./document";

/// Pause between two looks at what changes by itself.
export const LIVE = 2_500;

export const client = new QueryClient({
  defaultOptions: {
    queries: {
      // What the server refuses it will refuse again.
      retry: (count, error) => count < 2 && !(error instanceof ApiError && error.status > 0 && error.status < 500),
      staleTime: 10_000,
      // Equal answers keep their identity, so that polling draws nothing anew.
      structuralSharing: true,
    },
  },
});

export const user = queryOptions({
  queryKey: ["user"],
  queryFn: async ({ signal }) => (await get("/auth/user", { signal })).user,
  retry: (count, error) => count < 2 && !(error instanceof ApiError && error.status > 0),
  staleTime: 60_000,
});

export const projects = queryOptions({
  queryKey: ["projects"],
  queryFn: async ({ signal }) => (await get("/api/_private/projects", { signal })).projects,
});

export const counts = (project: string) => queryOptions({
  queryKey: ["projects", project, "counts"],
  queryFn: ({ signal }) => get("/api/_private/projects/{project}/resource_counts", { path: { project }, signal }),
});

export const buckets = (project: string) => queryOptions({
  queryKey: ["projects", project, "buckets"],
  queryFn: async ({ signal }) => {
    const found = await get("/api/_private/buckets/{project}", { path: { project }, signal });
    return found.buckets.sort((a, b) => a.name.localeCompare(b.name));
  },
  refetchInterval: 4 * LIVE,
});

export const bucket = (project: string, name: string) => queryOptions({
  queryKey: ["buckets", project, name],
  queryFn: async ({ signal }) =>
    (await get("/api/_private/buckets/{bucket}", { path: { bucket: full(project, name) }, signal })).bucket,
});

export const bucketById = (id: string) => queryOptions({
  queryKey: ["buckets", id],
  queryFn: async ({ signal }) => (await get("/api/_private/buckets/{bucket}", { path: { bucket: `id:${id}` }, signal })).bucket,
  retry: false,
});

export const emailCount = (id: string) => queryOptions({
  queryKey: ["buckets", id, "count"],
  queryFn: async ({ signal }) =>
    (await get("/api/_private/buckets/{bucket}/statistics", { path: { bucket: `id:${id}` }, signal })).statistics.count,
  refetchInterval: LIVE,
});

export const syncStates = (id: string) => queryOptions({
  queryKey: ["buckets", id, "states"],
  queryFn: async ({ signal }) =>
    (await get("/api/_private/buckets/{bucket}/keyed-sync-states", { path: { bucket: `id:${id}` }, signal })).keyed_sync_states,
  refetchInterval: LIVE,
});

export type Interval = Answer<"get", "/api/_private/buckets/{bucket}/volume">["interval"];

export const volume = (id: string, interval: Interval, from: string) => queryOptions({
  queryKey: ["buckets", id, "volume", interval, from],
  queryFn: ({ signal }) =>
    get("/api/_private/buckets/{bucket}/volume", { path: { bucket: `id:${id}` }, query: { interval, from }, signal }),
  refetchInterval: 4 * LIVE,
  placeholderData: (before) => before,
});

export const sources = (project: string) => queryOptions({
  queryKey: ["projects", project, "sources"],
  queryFn: async ({ signal }) => {
    const found = await get("/api/v1/sources/{project}", { path: { project }, signal });
    return found.sources.sort((a, b) => a.name.localeCompare(b.name));
  },
  refetchInterval: 4 * LIVE,
});

export const allSources = queryOptions({
  queryKey: ["sources"],
  queryFn: async ({ signal }) => (await get("/api/v1/sources", { signal })).sources,
});

export const transformTags = queryOptions({
  queryKey: ["transform-tags"],
  queryFn: async ({ signal }) =>
    (await get("/api/_private/sources/email-transform", { signal })).email_transform_tags.map((one) => one.tag),
  staleTime: Infinity,
});

export const users = queryOptions({
  queryKey: ["users"],
  queryFn: async ({ signal }) => {
    const found = await get("/api/_private/users", { signal });
    return found.users.sort((a, b) => a.username.localeCompare(b.username));
  },
});

export const roles = queryOptions({
  queryKey: ["roles"],
  queryFn: ({ signal }) => get("/api/_private/roles", { signal }),
  staleTime: Infinity,
});

export const configs = (project: string) => queryOptions({
  queryKey: ["configs", project],
  queryFn: async ({ signal }) =>
    (await get("/api/_private/appliance-configs/{project}", { path: { project }, signal })).appliance_configs,
});

export const configVersions = (project: string, name: string) => queryOptions({
  queryKey: ["configs", project, name, "versions"],
  queryFn: async ({ signal }) =>
    (await get("/api/_private/appliance-configs/{project}/{name}/versions", { path: { project, name }, signal })).versions,
});

export const integrations = (project: string) => queryOptions({
  queryKey: ["integrations", project],
  queryFn: async ({ signal }) =>
    (await get("/api/_private/integrations/{project}", { path: { project }, signal })).integrations,
  refetchInterval: 4 * LIVE,
});

export const quotas = queryOptions({
  queryKey: ["quotas"],
  queryFn: async ({ signal }) => (await get("/api/_private/quotas", { signal })).quotas,
});

export const account = queryOptions({
  queryKey: ["account"],
  queryFn: async ({ signal }) => (await get("/api/_private/account", { signal })).account,
});

export const signInOptions = queryOptions({
  queryKey: ["sign-in"],
  queryFn: async ({ signal }) => (await get("/auth/options", { signal })).options,
});
