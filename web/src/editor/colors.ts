/// Colors of JSON by day and by night.

import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { tags } from "@lezer/highlight";

export const colors = syntaxHighlighting(HighlightStyle.define([
  { tag: tags.propertyName, color: "light-dark(#065a79, #9bd2e5)", fontWeight: "600" },
  { tag: tags.string, color: "light-dark(#1d5c35, #8fd6a8)" },
  { tag: tags.number, color: "light-dark(#8a3d00, #f2b880)" },
  { tag: [tags.bool, tags.null], color: "light-dark(#52309b, #c3a9f5)" },
  { tag: tags.separator, color: "light-dark(#586573, #9fabb8)" },
]));
