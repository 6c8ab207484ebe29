/// What a browser loads before the first page is there.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./harness/browser.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

const MOST = 300 * 1024;

/** @type {import("./harness/server.js").Platform} */
let platform;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  [platform, browser] = await Promise.all([start(), launch()]);
});
after(async () => {
  await browser.close();
  await platform.stop();
});

test("the first view takes at most 300 KB, and no chart and no editor", async (context) => {
  const { page } = await entered(browser, platform);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Network.enable");
  let bytes = 0;
  /** @type {string[]} */
  const files = [];
  devtools.on("Network.loadingFinished", ({ encodedDataLength }) => {
    bytes += encodedDataLength;
  });
  devtools.on("Network.responseReceived", ({ response }) => {
    files.push(response.url);
  });
  await page.goto(`${platform.url}/`, { waitUntil: "networkidle" });
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  assert.ok(files.some((file) => file.endsWith(".js")), "nothing was loaded");
  assert.deepEqual(files.filter((file) => /Chart|Volume|Editor|Diff/.test(file)), []);
  context.diagnostic(`${Math.round(bytes / 1024)} KiB in ${files.length} files`);
  assert.ok(bytes <= MOST, `the first view takes ${bytes} bytes: ${files.join(" ")}`);
});

test("files are compressed beforehand and kept for good, the page is asked for each time", async () => {
  const html = await fetch(`${platform.url}/`, { headers: { accept: "text/html" } });
  assert.equal(html.headers.get("cache-control"), "no-cache");
  const script = /src="\.\/(assets\/[^"]+\.js)"/.exec(await html.text())?.[1];
  assert.ok(script);
  for (const coding of ["br", "gzip", "identity"]) {
    /** @type {Response} */
    const file = await fetch(`${platform.url}/${script}`, { headers: { "accept-encoding": coding } });
    assert.equal(file.status, 200);
    assert.equal(file.headers.get("content-encoding") ?? "identity", coding);
    assert.equal(file.headers.get("cache-control"), "public, max-age=31536000, immutable");
    assert.equal(file.headers.get("content-type"), "text/javascript; charset=utf-8");
    assert.ok((await file.text()).includes("import"));
  }
});
