/// A platform of its own for a test: the real program, on an empty folder.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";

const PROGRAM = process.env["TRIBUTARY_BIN"] ?? new URL("../../../target/debug/tributary", import.meta.url).pathname;

/**
 * @typedef {object} Platform
 * @property {string} url with the base path, without a slash at its end
 * @property {string} token of the first administrator
 * @property {string} folder where it keeps everything
 * @property {string} link the first administrator's one-time link
 * @property {(method: string, path: string, body?: unknown) => Promise<any>} call asks the API with that token
 * @property {() => Promise<void>} stop
 */

/**
 * Starts a platform, and returns when it listens.
 * @param {string[]} args
 * @returns {Promise<Platform>}
 */
export async function start(...args) {
  const folder = mkdtempSync(join(tmpdir(), "tributary-web-"));
  const child = spawn(PROGRAM, ["serve", "--data", folder, "--bind", "127.0.0.1:0", "--log-format", "text", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  const over = new Promise((resolve) => child.once("exit", resolve));
  /** @type {string} */
  const url = await new Promise((resolve, reject) => {
    const listen = (/** @type {Buffer} */ piece) => {
      said += piece.toString();
      const found = /The platform is at `([^`]+)`/.exec(said);
      // The two come by different ways, in any order.
      if (found?.[1] && /^\s+tri_/m.test(said)) resolve(found[1]);
    };
    child.stdout.on("data", listen);
    child.stderr.on("data", listen);
    child.once("error", (error) => reject(new Error(`could not start ${PROGRAM}; build it with \`cargo build\`: ${error.message}`)));
    child.once("exit", () => reject(new Error(`the platform ended:\n${said}`)));
  });
  const token = /^\s+(tri_\S+)/m.exec(said)?.[1] ?? "";
  const link = /https?:\/\/\S+\/link#\S+/.exec(said)?.[0] ?? "";
  const call = async (/** @type {string} */ method, /** @type {string} */ path, /** @type {unknown} */ body) => {
    const raw = typeof body === "string";
    const response = await fetch(`${url}/${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": raw ? "application/octet-stream" : "application/json" },
      body: body === undefined ? null : raw ? body : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? {} : JSON.parse(text);
  };
  const stop = async () => {
    child.kill("SIGTERM");
    await over;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url, token, folder, link, call, stop };
}
