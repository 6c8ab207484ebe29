/// What is asked about a source: how much it holds, and how far it is with its bucket.

import { queryOptions } from "@tanstack/react-query";
import { full, get, post } from "../api/client";
import { LIVE } from "../api/queries";
import { path } from "../router";

interface Of {
  owner: string;
  name: string;
}

export const source = (project: string, name: string) => queryOptions({
  queryKey: ["sources", project, name],
  queryFn: async ({ signal }) => (await get("/api/v1/sources/{source}", { path: { source: full(project, name) }, signal })).source,
});

export const sourceCount = ({ owner, name }: Of) => queryOptions({
  queryKey: ["sources", owner, name, "count"],
  queryFn: async ({ signal }) => {
    const given = { path: { source: full(owner, name) }, json: { comment_filter: {} }, signal };
    return (await post("/api/v1/sources/{source}/statistics", given)).statistics.num_comments;
  },
  refetchInterval: LIVE,
});

export const conversion = ({ owner, name }: Of) => queryOptions({
  queryKey: ["sources", owner, name, "conversion"],
  queryFn: async ({ signal }) =>
    (await get("/api/_private/sources/{source}/conversion", { path: { source: full(owner, name) }, signal })).conversion,
  refetchInterval: LIVE,
  retry: false,
});

export const newest = (project: string, name: string) => queryOptions({
  queryKey: ["sources", project, name, "newest"],
  queryFn: async ({ signal }) => {
    const given = { path: { source: full(project, name) }, query: { limit: 12, direction: "desc" }, signal } as const;
    return (await get("/api/_private/sources/{source}/comments", given)).comments;
  },
  refetchInterval: LIVE,
});

export const comment = (project: string, source: string, id: string) => queryOptions({
  queryKey: ["comments", project, source, id],
  queryFn: async ({ signal }) => {
    const given = { path: { source: full(project, source), comment: id }, signal };
    return (await get("/api/v1/sources/{source}/comments/{comment}", given)).comment;
  },
});

export const commentPage = (project: string, source: string, id: string) => path`/p/${project}/sources/${source}/comments/${id}`;
export const threadPage = (project: string, source: string, id: string) => path`/p/${project}/sources/${source}/threads/${id}`;
