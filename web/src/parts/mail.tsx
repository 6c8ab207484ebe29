/// Addresses, and text with marks in it.

import type { ReactNode } from "react";
import type { SearchResult } from "../api/schema";

/// A text, and where in it the matches are.
type Marked = Pick<SearchResult["snippet"], "text" | "highlights">;

/// The address of `Ann <ann@example.com>`.
export const address = (from: string) => (/<([^<>]+)>\s*$/.exec(from)?.[1] ?? from).trim();

/// The name of it, or else the address.
export function nameOf(from: string): string {
  const name = from.replace(/<[^<>]*>\s*$/, "").replace(/^\s*"|"\s*$/g, "").trim();
  return name || address(from) || "(nobody)";
}

/// A text whose matches are marked.
export function Highlighted({ of }: { of: Marked }): ReactNode {
  const pieces: ReactNode[] = [];
  let at = 0;
  for (const span of of.highlights) {
    const begin = span.utf16_byte_start / 2;
    const end = span.utf16_byte_end / 2;
    if (begin < at) continue;
    pieces.push(of.text.slice(at, begin), <mark key={begin}>{of.text.slice(begin, end)}</mark>);
    at = end;
  }
  return [...pieces, of.text.slice(at)];
}
