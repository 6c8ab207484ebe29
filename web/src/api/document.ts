/// What `docs/reference/openapi.json` says of a request, as types. `npm run types` writes `schema.ts` of it; nothing
/// here adds to it, so what the API has not cannot be asked for.

import type { paths } from "./schema";

/// OpenAPI takes `/buckets/{project}` and `/buckets/{bucket}` for the same address, so that its document has only the
/// second. The first lists what the list of all projects has, for one.
interface OfProject<List extends { get: { responses: unknown } }> {
  get: { parameters: { path: { project: string } }; responses: List["get"]["responses"] };
}
interface Paths extends paths {
  "/api/_private/buckets/{project}": OfProject<paths["/api/_private/buckets"]>;
  "/api/_private/integrations/{project}": OfProject<paths["/api/_private/integrations"]>;
  "/api/v1/sources/{project}": OfProject<paths["/api/v1/sources"]>;
}

export type Method = "get" | "put" | "post" | "delete";

/// Paths that have the method.
export type Path<M extends Method> = {
  [P in keyof Paths]: Paths[P] extends Record<M, { responses: unknown }> ? P : never;
}[keyof Paths];

type Operation<M extends Method, P extends Path<M>> = Paths[P] extends Record<M, infer One> ? One : never;

type Content<One> = One extends { responses: { 200: { content: infer Kinds } } } ? Kinds : never;

/// What a request is answered with.
export type Answer<M extends Method, P extends Path<M>> =
  Content<Operation<M, P>> extends { "application/json": infer Shape } ? Shape : never;

/// Nothing, an object that may be missing, or one that must be there.
type Field<Name extends string, Value> = [Value] extends [never] ? unknown
  : Partial<Value> extends Value ? { [N in Name]?: Value } : { [N in Name]: Value };

type Named<One> = One extends { parameters: { path: infer Names extends object } } ? Names : never;
type Asked<One> = One extends { parameters: { query?: infer Names } } ? NonNullable<Names> : never;
type Sent<One> = One extends { requestBody?: { content: infer Kinds } } ? NonNullable<Kinds> : never;
type Json<Kinds> = Kinds extends { "application/json": infer Shape } ? Shape : never;
type File<Kinds> = Kinds extends { "application/octet-stream": unknown } ? string | Blob : never;

/// What goes with a request: names in its path, parameters, and a body.
export type Given<M extends Method, P extends Path<M>> =
  & Field<"path", Named<Operation<M, P>>>
  & Field<"query", Asked<Operation<M, P>>>
  & Field<"json", Json<Sent<Operation<M, P>>>>
  & Field<"file", File<Sent<Operation<M, P>>>>;

/// The last argument of a request; it can be left out if nothing has to go with it.
export type Rest<M extends Method, P extends Path<M>> =
  Partial<Given<M, P>> extends Given<M, P> ? [given?: Given<M, P> & Signal] : [given: Given<M, P> & Signal];

interface Signal {
  signal?: AbortSignal;
}
