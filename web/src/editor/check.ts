/// Compares a configuration with the JSON Schema that the appliance's own reference is made from.

import { syntaxTree } from "@codemirror/language";
import { json } from "@codemirror/lang-json";
import type { Diagnostic } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { Validator, type Schema } from "@cfworker/json-schema";
import schema from "../../../docs/reference/appliance-config.schema.json";

const validator = new Validator(schema as unknown as Schema, "2020-12", false);

/// What the reference says about a key.
export function about(key: string): { text: string; fallback?: string } | null {
  const found = describe(schema, key, 0);
  if (!found?.description) return null;
  const text = found.description.replaceAll("\n", " ");
  return found.default === undefined || found.default === null ? { text } : { text, fallback: JSON.stringify(found.default) };
}

interface Described {
  description?: string;
  default?: unknown;
}

function describe(within: unknown, key: string, depth: number): Described | null {
  if (typeof within !== "object" || within === null || depth > 12) return null;
  const properties = (within as { properties?: Record<string, Described> }).properties;
  const own = properties?.[key];
  if (own?.description) return own;
  for (const value of Object.values(within)) {
    const found = describe(value, key, depth + 1);
    if (found) return found;
  }
  return null;
}

/// Where in the text the value at a JSON pointer is. Spec: RFC 6901.
function spanOf(text: string, pointer: string): { from: number; to: number } {
  const state = EditorState.create({ doc: text, extensions: [json()] });
  const whole = { from: 0, to: text.length };
  let node = syntaxTree(state).topNode.firstChild;
  for (const part of pointer.replace(/^#?\/?/, "").split("/").filter(Boolean)) {
    const name = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    if (node?.name === "Object") {
      let property = node.firstChild;
      while (property && !(property.name === "Property" && text.slice((property.firstChild?.from ?? 0) + 1, (property.firstChild?.to ?? 0) - 1) === name)) property = property.nextSibling;
      node = property?.lastChild ?? null;
    } else if (node?.name === "Array") {
      const items = [];
      for (let item = node.firstChild; item; item = item.nextSibling) if (!["[", "]", ","].includes(item.name)) items.push(item);
      node = items[Number(name)] ?? null;
    }
    if (!node) return whole;
  }
  return node ? { from: node.from, to: node.to } : whole;
}

/// Words of the checker that only repeat what a deeper one says.
const WRAPPERS = new Set(["properties", "additionalProperties", "items", "$ref", "allOf", "patternProperties", "false"]);

export function check(text: string): Diagnostic[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : "This is no JSON.";
    const at = Number(/position (\d+)/.exec(message)?.[1] ?? text.length);
    return [{ from: Math.min(at, text.length), to: Math.min(at + 1, text.length), severity: "error", message }];
  }
  const { errors } = validator.validate(value);
  const unknown = errors.filter((one) => one.keyword === "additionalProperties" && one.error.includes("does not match"));
  const deep = errors.filter((one) => !WRAPPERS.has(one.keyword));
  const named = unknown.flatMap((one) => {
    const key = /Property "([^"]+)"/.exec(one.error)?.[1];
    const at = key === undefined ? "" : `${one.instanceLocation}/${encodeURIComponent(key.replaceAll("~", "~0").replaceAll("/", "~1"))}`;
    const isDeeper = errors.some((other) => other !== one && other.instanceLocation.startsWith(`${at}/`));
    return key === undefined || isDeeper || deep.some((other) => other.instanceLocation === at) ? [] : [{ at, message: `“${key}” is no key of the configuration.` }];
  });
  const all = [...named, ...deep.map((one) => ({ at: one.instanceLocation, message: one.error }))];
  const seen = new Set<string>();
  return all.flatMap(({ at, message }) => {
    if (seen.has(at)) return [];
    seen.add(at);
    return [{ ...spanOf(text, at), severity: "error" as const, message }];
  });
}
