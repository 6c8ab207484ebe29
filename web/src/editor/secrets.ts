/// Hides the values of secrets from whoever looks over a shoulder; they are still there to be edited.

import { Decoration, MatchDecorator, ViewPlugin, type DecorationSet, type EditorView, type ViewUpdate } from "@codemirror/view";

const SECRET = /("(?:auth_password|password|(?:auth_oauth_)?client_secret|[a-z_]*private_key)"\s*:\s*")((?:[^"\\]|\\.)+)"/g;

const finder = new MatchDecorator({
  regexp: SECRET,
  decorate: (add, from, _to, match) => {
    const begin = from + (match[1]?.length ?? 0);
    add(begin, begin + (match[2]?.length ?? 0), Decoration.mark({ class: "hidden-secret", attributes: { title: "A secret, hidden" } }));
  },
});

export const secrets = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;
    constructor(view: EditorView) {
      this.decorations = finder.createDeco(view);
    }
    update(update: ViewUpdate) {
      this.decorations = finder.updateDeco(update, this.decorations);
    }
  },
  { decorations: (plugin) => plugin.decorations },
);

const DOTS = "••••••••";

/// The text without its secrets; one that `before` has not is told from those that it has. What a comparison
/// takes out is not decorated, so that there they must not be in the text at all.
export function masked(text: string, before: string): string {
  const known = new Set([...before.matchAll(SECRET)].map((match) => match[2]));
  return text.replace(SECRET, (_, key: string, value: string) => `${key}${known.has(value) ? DOTS : `${DOTS} (new)`}"`);
}
