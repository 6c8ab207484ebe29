/// Styles that are added while the page runs are allowed by the server if they carry this.

import { setNonce } from "get-nonce";

export const nonce = document.querySelector<HTMLMetaElement>("meta[name=csp-nonce]")?.content ?? "";

// For the lock of scrolling behind dialogs.
setNonce(nonce);
