/// Addresses and pages: which page an address shows, and links that do not load everything anew.

import { createContext, use, useSyncExternalStore, type ComponentProps, type ReactNode } from "react";
import { base } from "./api/client";

const changed = new EventTarget();

function subscribe(listener: () => void) {
  window.addEventListener("popstate", listener);
  changed.addEventListener("moved", listener);
  return () => {
    window.removeEventListener("popstate", listener);
    changed.removeEventListener("moved", listener);
  };
}

/// Path below the base, with the query: `/p/acme?x=1`.
function current(): string {
  return location.pathname.slice(base.length) + location.search;
}

export function useAddress() {
  const whole = useSyncExternalStore(subscribe, current);
  const [path = "", query = ""] = whole.split(/\?(.*)/s);
  return { whole, path, query: new URLSearchParams(query) };
}

export function go(to: string, how: "push" | "replace" = "push") {
  if (to === current()) return;
  history[how === "push" ? "pushState" : "replaceState"](null, "", base + to);
  changed.dispatchEvent(new Event("moved"));
  if (how === "push") window.scrollTo({ top: 0 });
}

/// Parts of a path, decoded: a part may hold a slash.
const partsOf = (path: string) => path.split("/").filter(Boolean).map((part) => {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
});

/// A path of a page; each value is one part of it, whatever characters it has.
export function path(literals: TemplateStringsArray, ...values: (string | number)[]): string {
  return literals.reduce((text, literal, place) => text + encodeURIComponent(values[place - 1] ?? "") + literal);
}

/// What a pattern such as `/p/:project` finds in a path; `null`: it does not fit.
export function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = partsOf(pattern);
  const parts = partsOf(path);
  if (wanted.length !== parts.length) return null;
  const found: Record<string, string> = {};
  for (const [place, part] of parts.entries()) {
    const want = wanted[place] ?? "";
    if (want.startsWith(":")) found[want.slice(1)] = part;
    else if (want !== part) return null;
  }
  return found;
}

const Found = createContext<Record<string, string>>({});

export const Names = ({ names, children }: { names: Record<string, string>; children: ReactNode }) => (
  <Found value={names}>{children}</Found>
);

/// What the address names, by the names in the pattern of the page.
export function useNames<Name extends string>(...names: Name[]): Record<Name, string> {
  const found = use(Found);
  return Object.fromEntries(names.map((name) => [name, found[name] ?? ""])) as Record<Name, string>;
}

/// A link within the UI. Clicks that ask for another tab get it.
export function Link({ to, onClick, ...rest }: { to: string } & ComponentProps<"a">) {
  return (
    <a
      {...rest}
      href={base + to}
      onClick={(event) => {
        onClick?.(event);
        const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
        if (event.defaultPrevented || !plain) return;
        event.preventDefault();
        go(to);
      }}
    />
  );
}
