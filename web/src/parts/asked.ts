/// What a search is after, read from the address and written as the API wants it.

import type { Given } from "../api/document";

type Body = NonNullable<Given<"post", "/api/_private/search">["json"]>;

export interface Asked {
  query: string;
  project: string;
  source: string;
  from: string;
  folder: string;
  after: string;
  before: string;
  attachments: boolean;
  threads: boolean;
  isFiltered: boolean;
  isAnything: boolean;
  body: Body & Required<Pick<Body, "query" | "filter">>;
}

const nextDay = (date: string) => new Date(Date.parse(`${date}T00:00:00Z`) + 86_400_000).toISOString();

export function asked(parameters: URLSearchParams): Asked {
  const of = (name: string) => parameters.get(name) ?? "";
  const [query, project, source, from, folder] = [of("q"), of("project"), of("source"), of("from"), of("folder")];
  const isDay = (date: string) => (/^\d{4}-\d\d-\d\d$/.test(date) ? date : "");
  const [after, before] = [isDay(of("after")), isDay(of("before"))];
  const [attachments, threads] = [of("attachments") === "true", of("group") === "thread"];
  const timestamp = { ...(after && { minimum: `${after}T00:00:00Z` }), ...(before && { maximum: nextDay(before) }) };
  const filter = {
    ...(project && { projects: [project] }),
    ...(source && { sources: [source] }),
    ...(from && { from_domains: [from] }),
    ...(folder && { user_properties: { "string:Folder": [folder] } }),
    ...((after || before) && { timestamp }),
    ...(attachments && { has_attachments: true }),
  };
  const isFiltered = Object.keys(filter).length > 0;
  const body = { query, filter, ...(threads && { group_by: "thread" as const }) };
  return { query, project, source, from, folder, after, before, attachments, threads, isFiltered, isAnything: query === "" && !isFiltered, body };
}
