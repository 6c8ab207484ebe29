/// What becomes of the sources: hashed files below `dist/app`, each beside its compressed forms.

import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/// Compresses once, as hard as it goes, what would otherwise be compressed for each request.
function compressed(): Plugin {
  const compress = (folder: string) => {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (statSync(path).isDirectory()) compress(path);
      else if (/\.(js|css|svg|json|webmanifest)$/.test(name)) {
        const plain = readFileSync(path);
        const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
        writeFileSync(`${path}.br`, brotliCompressSync(plain, { params: quality }));
        writeFileSync(`${path}.gz`, gzipSync(plain, { level: 9 }));
      }
    }
  };
  return { name: "compressed", apply: "build", closeBundle: () => compress("dist/app") };
}

/// The server writes these two into the page; in development nobody does.
function unserved(): Plugin {
  return {
    name: "unserved",
    apply: "serve",
    transformIndexHtml: (html) => html.replace("%BASE%", "/").replace("%NONCE%", ""),
  };
}

/// For `npm run dev`: a running platform, and a token of it in place of a sign-in.
const platform = process.env["TRIBUTARY_URL"] ?? "http://127.0.0.1:8000";
const token = process.env["TRIBUTARY_TOKEN"];
const proxy = {
  target: platform,
  changeOrigin: true,
  headers: token ? { authorization: `Bearer ${token}` } : {},
};

export default defineConfig(({ command }) => {
  if (command === "build") rmSync("dist/app", { recursive: true, force: true });
  return {
    // The page says where it is; files are found from there.
    base: command === "build" ? "./" : "/",
    plugins: [react(), compressed(), unserved()],
    server: { proxy: { "/api": proxy, "/auth": proxy } },
    build: {
      outDir: "dist/app",
      target: "es2022",
      modulePreload: { polyfill: false },
      // No `data:` for fonts and scripts: the policy of the page allows none.
      assetsInlineLimit: 0,
      reportCompressedSize: false,
      chunkSizeWarningLimit: 700,
    },
  };
});
