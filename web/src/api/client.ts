/// The one way to the server: JSON in, JSON out, and errors with the words of the server.

/// An answer that is no success.
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    /// Seconds after which trying again may help.
    readonly retryAfter?: number,
    /// Where in a query the server stumbled, in UTF-16 units.
    readonly position?: { utf16: number; length: number },
  ) {
    super(message);
  }
}

/// Base path of the platform, without a slash at its end.
export const base = new URL(document.baseURI).pathname.replace(/\/$/, "");
/// What the appliance and the official client are told.
export const endpoint = location.origin + base;

/// A path of the API; each value is one part of it, whatever characters it has.
export function path(literals: TemplateStringsArray, ...values: (string | number)[]): string {
  return literals.reduce((text, literal, place) => text + encodeURIComponent(values[place - 1] ?? "") + literal);
}

export const url = (path: string) => `${base}/${path}`;

interface Sent {
  method?: string;
  json?: unknown;
  file?: string;
  signal?: AbortSignal | undefined;
}

async function send(to: string, { method = "GET", json, file, signal }: Sent): Promise<Response> {
  const headers: Record<string, string> = {};
  if (method !== "GET") headers["X-Tributary-CSRF"] = "1";
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (file !== undefined) headers["Content-Type"] = "application/octet-stream";
  const body = file ?? (json === undefined ? null : JSON.stringify(json));
  let response;
  try {
    response = await fetch(url(to), { method, headers, body, credentials: "same-origin", signal: signal ?? null });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached. Is it running?");
  }
  if (response.ok) return response;
  throw await refusal(response);
}

async function refusal(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  const said = body as { message?: string; position?: { utf16: number; length: number } } | null;
  const message = said?.message ?? `The server answered ${response.status}.`;
  const seconds = Number(response.headers.get("retry-after"));
  return new ApiError(response.status, message, seconds > 0 ? seconds : undefined, said?.position);
}

export async function get<T>(to: string, signal?: AbortSignal): Promise<T> {
  return (await send(to, { signal })).json() as Promise<T>;
}

export async function getText(to: string, signal?: AbortSignal): Promise<string> {
  return (await send(to, { signal })).text();
}

export async function put<T>(to: string, json: unknown): Promise<T> {
  return (await send(to, { method: "PUT", json })).json() as Promise<T>;
}

/// `signal` is for questions that are asked by POST.
export async function post<T>(to: string, json: unknown, signal?: AbortSignal): Promise<T> {
  return (await send(to, { method: "POST", json, signal })).json() as Promise<T>;
}

export async function remove<T>(to: string): Promise<T> {
  return (await send(to, { method: "DELETE" })).json() as Promise<T>;
}

export async function putFile<T>(to: string, file: string): Promise<T> {
  return (await send(to, { method: "PUT", file })).json() as Promise<T>;
}
