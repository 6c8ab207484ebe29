/// What pages ask for, by name; what is live is asked for again while the page is looked at.

import { QueryClient, queryOptions } from "@tanstack/react-query";
import { ApiError, get, path } from "./client";
import type * as Api from "./types";

/// Pause between two looks at what changes by itself.
const LIVE = 2_500;

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
  queryFn: async ({ signal }) => (await get<{ user: Api.User }>("auth/user", signal)).user,
  retry: (count, error) => count < 2 && !(error instanceof ApiError && error.status > 0),
  staleTime: 60_000,
});

export const projects = queryOptions({
  queryKey: ["projects"],
  queryFn: async ({ signal }) => (await get<{ projects: Api.Project[] }>("api/_private/projects", signal)).projects,
});

export const counts = (project: string) => queryOptions({
  queryKey: ["projects", project, "counts"],
  queryFn: ({ signal }) => get<Api.ResourceCounts>(path`api/_private/projects/${project}/resource_counts`, signal),
});

export const buckets = (project: string) => queryOptions({
  queryKey: ["projects", project, "buckets"],
  queryFn: async ({ signal }) => {
    const found = await get<{ buckets: Api.Bucket[] }>(path`api/_private/buckets/${project}`, signal);
    return found.buckets.sort((a, b) => a.name.localeCompare(b.name));
  },
  refetchInterval: 4 * LIVE,
});

export const bucket = (project: string, name: string) => queryOptions({
  queryKey: ["buckets", project, name],
  queryFn: async ({ signal }) =>
    (await get<{ bucket: Api.Bucket }>(path`api/_private/buckets/${project}/${name}`, signal)).bucket,
});

export const emailCount = (id: string) => queryOptions({
  queryKey: ["buckets", id, "count"],
  queryFn: async ({ signal }) => {
    const found = await get<{ statistics: { count: Api.Count } }>(
      `api/_private/buckets/id:${encodeURIComponent(id)}/statistics`, signal);
    return found.statistics.count;
  },
  refetchInterval: LIVE,
});

export const syncStates = (id: string) => queryOptions({
  queryKey: ["buckets", id, "states"],
  queryFn: async ({ signal }) => {
    const at = `api/_private/buckets/id:${encodeURIComponent(id)}/keyed-sync-states`;
    return (await get<{ keyed_sync_states: Api.KeyedSyncState[] }>(at, signal)).keyed_sync_states;
  },
  refetchInterval: LIVE,
});

export const volume = (id: string, interval: Api.Volume["interval"], from?: string) => queryOptions({
  queryKey: ["buckets", id, "volume", interval, from],
  queryFn: ({ signal }) => {
    const query = new URLSearchParams(from ? { interval, from } : { interval }).toString();
    return get<Api.Volume>(`api/_private/buckets/id:${encodeURIComponent(id)}/volume?${query}`, signal);
  },
  refetchInterval: 4 * LIVE,
  placeholderData: (before) => before,
});

export const sources = (project: string) => queryOptions({
  queryKey: ["projects", project, "sources"],
  queryFn: async ({ signal }) => {
    const found = await get<{ sources: Api.Source[] }>(path`api/v1/sources/${project}`, signal);
    return found.sources.sort((a, b) => a.name.localeCompare(b.name));
  },
  refetchInterval: 4 * LIVE,
});

export const allSources = queryOptions({
  queryKey: ["sources"],
  queryFn: async ({ signal }) => (await get<{ sources: Api.Source[] }>("api/v1/sources", signal)).sources,
});

export const users = queryOptions({
  queryKey: ["users"],
  queryFn: async ({ signal }) => {
    const found = await get<{ users: Api.User[] }>("api/_private/users", signal);
    return found.users.sort((a, b) => a.username.localeCompare(b.username));
  },
});

export const roles = queryOptions({
  queryKey: ["roles"],
  queryFn: ({ signal }) => get<Api.Roles>("api/_private/roles", signal),
  staleTime: Infinity,
});

export const configs = (project: string) => queryOptions({
  queryKey: ["configs", project],
  queryFn: async ({ signal }) => {
    const at = path`api/_private/appliance-configs/${project}`;
    return (await get<{ appliance_configs: Api.ConfigEntry[] }>(at, signal)).appliance_configs;
  },
});

export const configVersions = (project: string, name: string) => queryOptions({
  queryKey: ["configs", project, name, "versions"],
  queryFn: async ({ signal }) => {
    const at = path`api/_private/appliance-configs/${project}/${name}/versions`;
    return (await get<{ versions: Api.ConfigVersion[] }>(at, signal)).versions;
  },
});

export const integrations = (project: string) => queryOptions({
  queryKey: ["integrations", project],
  queryFn: async ({ signal }) => {
    const at = path`api/_private/integrations/${project}`;
    return (await get<{ integrations: Api.Integration[] }>(at, signal)).integrations;
  },
  refetchInterval: 4 * LIVE,
});

export const quotas = queryOptions({
  queryKey: ["quotas"],
  queryFn: async ({ signal }) => (await get<{ quotas: Api.Quota[] }>("api/_private/quotas", signal)).quotas,
});

export const account = queryOptions({
  queryKey: ["account"],
  queryFn: async ({ signal }) => (await get<{ account: Api.Account }>("api/_private/account", signal)).account,
});

export const signInOptions = queryOptions({
  queryKey: ["sign-in"],
  queryFn: async ({ signal }) => (await get<{ options: Api.SignInOptions }>("auth/options", signal)).options,
});
