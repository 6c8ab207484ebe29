/// An editor for JSON: colors, brackets, problems where they are, and secrets that stay hidden.

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit } from "@codemirror/language";
import { linter, lintGutter, lintKeymap, type Diagnostic } from "@codemirror/lint";
import { Compartment, EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { useEffect, useRef } from "react";
import { nonce } from "../nonce";
import { colors } from "./colors";
import { secrets } from "./secrets";

export default function Editor({ text, onChange, label, check, readOnly = false, hideSecrets = true, onKey }: {
  text: string;
  onChange?: (text: string) => void;
  label: string;
  /// Problems of the text, by place.
  check?: (text: string) => Diagnostic[];
  readOnly?: boolean;
  hideSecrets?: boolean;
  /// Told the key of JSON that the cursor is at.
  onKey?: (key: string | null) => void;
}) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const told = useRef({ onChange, onKey, check });
  const hiding = useRef(new Compartment());
  const reading = useRef(new Compartment());
  useEffect(() => {
    told.current = { onChange, onKey, check };
  });

  useEffect(() => {
    if (!place.current) return;
    const editor = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: text,
        extensions: [
          lineNumbers(), foldGutter(), history(), drawSelection(), indentOnInput(), bracketMatching(), highlightActiveLine(),
          EditorView.lineWrapping, EditorView.cspNonce.of(nonce), indentUnit.of("  "), json(), colors,
          hiding.current.of(hideSecrets ? secrets : []),
          // No Tab: the keyboard must find the way out.
          keymap.of([...defaultKeymap, ...historyKeymap, ...foldKeymap, ...lintKeymap]),
          EditorView.contentAttributes.of({ "aria-label": label }),
          reading.current.of(EditorState.readOnly.of(readOnly)),
          ...(check ? [lintGutter(), linter((of) => told.current.check?.(of.state.doc.toString()) ?? [], { delay: 250 })] : []),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) told.current.onChange?.(update.state.doc.toString());
            if (update.selectionSet || update.docChanged) told.current.onKey?.(keyAt(update.state));
          }),
        ],
      }),
    });
    view.current = editor;
    // What scrolls must be reached by keys.
    editor.scrollDOM.tabIndex = 0;
    return () => editor.destroy();
    // The editor keeps its own text; what comes from outside is put in below.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);

  useEffect(() => {
    const editor = view.current;
    if (editor && editor.state.doc.toString() !== text) {
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } });
    }
  }, [text]);
  useEffect(() => {
    view.current?.dispatch({ effects: hiding.current.reconfigure(hideSecrets ? secrets : []) });
  }, [hideSecrets]);
  useEffect(() => {
    // Known later than the text, for whoever may write by a role.
    view.current?.dispatch({ effects: reading.current.reconfigure(EditorState.readOnly.of(readOnly)) });
  }, [readOnly]);
  return <div className="editor" ref={place} />;
}

/// The key of the line that the cursor is in.
function keyAt(state: EditorState): string | null {
  const line = state.doc.lineAt(state.selection.main.head);
  return /^\s*"([^"]+)"\s*:/.exec(line.text)?.[1] ?? null;
}
