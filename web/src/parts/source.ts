/// What is asked about a source: how much it holds, and how far it is with its bucket.

import { queryOptions } from "@tanstack/react-query";
import { get, path, post } from "../api/client";
import type { Comment, Source } from "../api/types";

export interface Conversion {
  total: number;
  converted: number;
  waiting: number;
  quarantined: number;
  scanning: boolean;
  quarantine: { email_id: string; content_hash: string; reason: string; at: string }[];
}

const LIVE = 2_500;

export const source = (project: string, name: string) => queryOptions({
  queryKey: ["sources", project, name],
  queryFn: async ({ signal }) => (await get<{ source: Source }>(path`api/v1/sources/${project}/${name}`, signal)).source,
});

export const sourceCount = (source: { owner: string; name: string }) => queryOptions({
  queryKey: ["sources", source.owner, source.name, "count"],
  queryFn: async ({ signal }) => {
    const at = path`api/v1/sources/${source.owner}/${source.name}/statistics`;
    return (await post<{ statistics: { num_comments: number } }>(at, { comment_filter: {} }, signal)).statistics.num_comments;
  },
  refetchInterval: LIVE,
});

export const conversion = (source: { owner: string; name: string }) => queryOptions({
  queryKey: ["sources", source.owner, source.name, "conversion"],
  queryFn: async ({ signal }) =>
    (await get<{ conversion: Conversion }>(path`api/_private/sources/${source.owner}/${source.name}/conversion`, signal)).conversion,
  refetchInterval: LIVE,
  retry: false,
});

export const newest = (project: string, name: string) => queryOptions({
  queryKey: ["sources", project, name, "newest"],
  queryFn: async ({ signal }) => {
    const at = path`api/_private/sources/${project}/${name}/comments` + "?limit=12&direction=desc";
    return (await get<{ comments: Comment[] }>(at, signal)).comments;
  },
  refetchInterval: LIVE,
});

export const comment = (project: string, source: string, id: string) => queryOptions({
  queryKey: ["comments", project, source, id],
  queryFn: async ({ signal }) => (await get<{ comment: Comment }>(path`api/v1/sources/${project}/${source}/comments/${id}`, signal)).comment,
});

export const commentPage = (project: string, source: string, id: string) => path`/p/${project}/sources/${source}/comments/${id}`;
export const threadPage = (project: string, source: string, id: string) => path`/p/${project}/sources/${source}/threads/${id}`;
