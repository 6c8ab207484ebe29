/// What a change would change: old and new in one column, with what is taken out and put in.

import { json } from "@codemirror/lang-json";
import { unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { useEffect, useRef } from "react";
import { nonce } from "../nonce";
import { colors } from "./colors";
import { masked } from "./secrets";

export default function Diff({ before, after, label }: { before: string; after: string; label: string }) {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!place.current) return;
    const view = new EditorView({
      parent: place.current,
      state: EditorState.create({
        doc: masked(after, before),
        extensions: [
          lineNumbers(), json(), colors, EditorView.lineWrapping, EditorView.cspNonce.of(nonce),
          EditorState.readOnly.of(true), EditorView.editable.of(false),
          EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
          unifiedMergeView({ original: masked(before, before), mergeControls: false, collapseUnchanged: { margin: 3, minSize: 6 } }),
        ],
      }),
    });
    return () => view.destroy();
  }, [before, after, label]);
  return <div className="editor" ref={place} />;
}
