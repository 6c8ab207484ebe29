/// The one way to the server: JSON in, JSON out, and errors with the words of the server.

import type { Answer, Given, Method, Path, Rest } from "./document";
import type { Error as Refused } from "./schema";

/// An answer that is no success.
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /// Seconds after which trying again may help.
    readonly retryAfter?: number,
    /// Where in a query the server stumbled.
    readonly position?: Refused["position"],
  ) {
    super(message);
  }
}

/// Base path of the platform, without a slash at its end.
export const base = new URL(document.baseURI).pathname.replace(/\/$/, "");
/// What the appliance and the official client are told.
export const endpoint = location.origin + base;

/// Names that are `owner/name` or `id:<id>`. Their slash stays one: some proxies refuse `%2F`.
const FULL_NAMES = new Set(["bucket", "source", "integration", "dataset"]);

export const full = (owner: string, name: string) => `${owner}/${name}`;

function encoded(name: string, value: string): string {
  const parts = FULL_NAMES.has(name) ? value.split("/") : [value];
  return parts.map((part) => encodeURIComponent(part).replaceAll("%3A", ":")).join("/");
}

/// What any request may carry, without its types.
interface Loose {
  path?: Record<string, string | number>;
  query?: Record<string, string | number | boolean | string[] | undefined>;
  json?: unknown;
  file?: string | Blob;
  signal?: AbortSignal;
}

function addressOf(to: string, { path = {}, query = {} }: Loose): string {
  const filled = to.replace(/\{(\w+)\}/g, (_, name: string) => encoded(name, String(path[name] ?? "")));
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) for (const one of [value].flat()) asked.append(name, String(one));
  }
  return base + filled + (asked.size > 0 ? `?${asked.toString()}` : "");
}

/// The address of what a browser itself asks for: frames, pictures, downloads.
export const url = <P extends Path<"get">>(to: P, given: Given<"get", P>) => addressOf(to, given as Loose);

async function send(method: Method, to: string, given: Loose = {}): Promise<Response> {
  const { json, file, signal } = given;
  const headers: Record<string, string> = {};
  if (method !== "get") headers["X-Tributary-CSRF"] = "1";
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (file !== undefined) headers["Content-Type"] = "application/octet-stream";
  const body = file ?? (json === undefined ? null : JSON.stringify(json));
  let response;
  try {
    response = await fetch(addressOf(to, given), {
      method: method.toUpperCase(), headers, body, credentials: "same-origin", signal: signal ?? null,
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached. Is it running?");
  }
  if (response.ok) return response;
  throw await refusal(response);
}

async function refusal(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  // What stands between may answer as well, in its own way.
  const said = body as Partial<Refused> | null;
  const message = said?.message ?? `The server answered ${response.status}.`;
  const seconds = Number(response.headers.get("retry-after"));
  return new ApiError(response.status, message, seconds > 0 ? seconds : undefined, said?.position);
}

const asking = <M extends Method>(method: M) => async <P extends Path<M>>(to: P, ...[given]: Rest<M, P>) =>
  (await send(method, to, given)).json() as Promise<Answer<M, P>>;

export const get = asking("get");
export const put = asking("put");
export const post = asking("post");
export const remove = asking("delete");

/// What is kept as it was uploaded.
export async function getText<P extends Path<"get">>(to: P, ...[given]: Rest<"get", P>): Promise<string> {
  return (await send("get", to, given)).text();
}
