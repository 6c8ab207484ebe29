// Shows hostile emails in Chromium, and counts what gets out: requests to a canary server, scripts
// that ran, dialogs. Prints one JSON object for each layer of the defense.
//
// Usage: node canary.js TASK.json, where the task names the platform, a token for it, the emails
// with their HTML, and the folder with playwright-core.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const task = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const { chromium } = require(path.join(task.modules, "playwright-core"));

const SANDBOX = 'sandbox="allow-popups allow-popups-to-escape-sandbox"';
// What a page adds to the policy of the whole site is not asked here: the frame must hold alone.
const LAYERS = {
  // As the platform's own pages show an email.
  whole: { document: "clean", policy: true, sandbox: true },
  // The same document in a page that has it from a request with a token.
  srcdoc: { document: "clean", policy: false, sandbox: true, srcdoc: true },
  // Each layer alone.
  sanitizer: { document: "bare", policy: false, sandbox: false },
  policy: { document: "hostile", policy: true, sandbox: false },
  // A sandbox keeps scripts from running; it does not keep pictures from loading.
  sandbox: { document: "hostile", policy: false, sandbox: true },
  // Nothing: this must be caught, or the counting is worth nothing.
  nothing: { document: "hostile", policy: false, sandbox: false },
  // The same as text that was parsed and written once, which is what makes some of them dangerous.
  again: { document: "again", policy: false, sandbox: false },
  // The reader asked for pictures of other servers.
  remote: { document: "clean", policy: true, sandbox: true, query: "?remote=images" },
};

const AGAIN = "<!doctype html><head><script>onload = () => (document.body.innerHTML = document.body.innerHTML)</script></head>";

// Milliseconds for whatever a browser is asked to do. They end nothing that is tested; what comes
// late is counted.
const PATIENCE = 300_000;
// Milliseconds without a request after which none is expected any more.
const QUIET = 500;

let seen = [];
let connections = 0;

function listen(server) {
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server.address().port)));
}

// Everything that arrives here got out of an email.
async function startCanary() {
  const server = http.createServer((request, response) => {
    seen.push(request.url);
    const script = request.url.endsWith(".js");
    response.setHeader("content-type", script ? "text/javascript" : "text/css");
    response.end(script ? `console.log("hit ${request.url}")` : "");
  });
  server.on("connection", () => connections++);
  return listen(server);
}

function original(email) {
  const bucket = encodeURIComponent(task.bucket);
  return `/api/_private/buckets/${bucket}/emails/${encodeURIComponent(email.id)}/original`;
}

const known = new Map();

// Layers ask for the same again.
function ask(url) {
  if (!known.has(url)) known.set(url, fetched(url));
  return known.get(url);
}

async function fetched(url) {
  const response = await fetch(task.url + url, { headers: { authorization: `Bearer ${task.token}` } });
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
}

const quoted = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");

// A script of an email speaks; the browser's own complaints may quote it.
// It gives the number of its email, or its name in the address that it came from.
const RAN = /^(?:13370(\d{3})|hit \/([a-z-]+)\d*\.js)$/;
function ran(message) {
  const [, number, name] = (message.type() === "log" && RAN.exec(message.text())) || [];
  return name ?? task.emails[Number(number)]?.name;
}

// The site that shows emails: pages with a frame, and the platform behind it.
async function startSite() {
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, "http://site");
    const [, what, layer, number] = url.pathname.split("/");
    // Addresses without a server lead here as well.
    if (!/^[0-9,]+$/.test(number ?? "")) return response.writeHead(404).end();
    const about = LAYERS[layer];
    const email = task.emails[Number(number)];
    if (what === "page") {
      let html = "<!doctype html><title>page</title>";
      for (const one of number.split(",")) {
        const clean = about.srcdoc ? (await ask(original(task.emails[one]) + "/html")).body.toString() : "";
        const source = about.srcdoc ? `srcdoc="${quoted(clean)}"` : `src="/document/${layer}/${one}"`;
        html += `<iframe ${about.sandbox ? SANDBOX : ""} ${source} width=90 height=60></iframe>`;
      }
      response.setHeader("content-type", "text/html; charset=utf-8");
      response.end(html);
    } else if (what === "document") {
      const answer = await ask(original(email) + "/html" + (about.query ?? ""));
      let body = answer.body.toString();
      if (about.document === "hostile") body = email.html;
      if (about.document === "again") body = AGAIN + email.html;
      if (about.document === "bare") body = body.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "");
      const headers = ["content-security-policy", "referrer-policy", "x-content-type-options", "x-dns-prefetch-control"];
      for (const name of about.policy ? headers : []) response.setHeader(name, answer.headers.get(name));
      response.setHeader("content-type", "text/html; charset=utf-8");
      response.end(body);
    } else if (what === "part") {
      // As it comes, navigated to.
      const answer = await ask(original(email) + `/parts/${layer}`);
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(answer.body);
    } else {
      response.writeHead(404).end();
    }
  });
  return listen(server);
}

// Requests of all pages and frames. The browser's own word for silence is said once for a document,
// and emails replace theirs.
function watch(context) {
  const open = new Set();
  let last = Date.now();
  const change = (how) => (request) => {
    open[how](request);
    last = Date.now();
  };
  context.on("request", change("add"));
  for (const end of ["requestfinished", "requestfailed"]) context.on(end, change("delete"));
  return {
    async ends() {
      const until = Date.now() + PATIENCE;
      last = Date.now();
      while (open.size || Date.now() - last < QUIET) {
        if (Date.now() > until) return false;
        await new Promise((done) => setTimeout(done, 50));
      }
      return true;
    },
  };
}

// Shows all emails in one page, each in a frame of its own.
async function show(browser, site, layer, result) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("console", (message) => {
    const name = ran(message);
    if (name !== undefined) result.scripts.push(name);
  });
  page.on("dialog", (dialog) => {
    result.dialogs++;
    dialog.dismiss().catch(() => {});
  });
  context.on("page", () => result.pages++);
  const traffic = watch(context);
  const url = `http://127.0.0.1:${site}/page/${layer}/${[...task.emails.keys()].join(",")}`;
  await page.goto(url, { waitUntil: "load", timeout: PATIENCE }).catch(() => result.late++);
  result.shown += (await page.locator("iframe").count());
  // The pointer wanders over the emails, as a reader's does.
  const places = await page.evaluate(() => [...document.querySelectorAll("iframe")].map((it) => it.getBoundingClientRect()));
  for (const place of places) await page.mouse.move(place.x + 12, place.y + 12).catch(() => {});
  if (!(await traffic.ends())) result.late++;
  await context.close();
}

async function runLayer(browser, site, layer) {
  const result = { layer, requests: [], connections: 0, scripts: [], dialogs: 0, pages: 0, shown: 0, late: 0, silent: [] };
  seen = [];
  connections = 0;
  const began = Date.now();
  await show(browser, site, layer, result);
  result.requests = [...new Set(seen)].sort();
  result.scripts = [...new Set(result.scripts)].sort();
  result.connections = connections;
  const loud = new Set(result.scripts);
  for (const url of result.requests) loud.add(/^\/([a-z-]+)/.exec(url)?.[1]);
  result.milliseconds = Date.now() - began;
  result.silent = task.emails.map((email) => email.name).filter((name) => !loud.has(name));
  return result;
}

// Files of an email are saved, never shown.
async function runParts(browser, site) {
  const result = { layer: "parts", requests: [], scripts: [], dialogs: 0, saved: [], opened: [] };
  const number = task.emails.findIndex((email) => email.parts);
  seen = [];
  for (let part = 0; part < task.emails[number].parts; part++) {
    const context = await browser.newContext({ acceptDownloads: true });
    const page = await context.newPage();
    page.on("console", (message) => ran(message) && result.scripts.push(String(part)));
    page.on("dialog", (dialog) => (result.dialogs++, dialog.dismiss().catch(() => {})));
    const download = page.waitForEvent("download", { timeout: 20_000 }).catch(() => null);
    await page.goto(`http://127.0.0.1:${site}/part/${part}/${number}`).then(
      () => result.opened.push(part),
      () => {},
    );
    const saved = await download;
    if (saved) result.saved.push(saved.suggestedFilename());
    await context.close();
  }
  result.requests = seen;
  return result;
}

async function main() {
  const canary = await startCanary();
  const site = await startSite();
  // The canary's address is known only now.
  const emails = task.emails.map((email, index) => fill(email, index, canary));
  const response = await fetch(task.url + `/api/_private/buckets/${task.bucket}/emails`, {
    method: "PUT",
    headers: { authorization: `Bearer ${task.token}`, "content-type": "application/json" },
    body: JSON.stringify({ emails }),
  });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  const browser = await chromium.launch({
    executablePath: task.chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
  for (const layer of task.layers ?? Object.keys(LAYERS)) {
    console.log(JSON.stringify(await runLayer(browser, site, layer)));
  }
  console.log(JSON.stringify(await runParts(browser, site)));
  await browser.close();
  process.exit(0);
}

// The email with the canary's address in it.
function fill(email, index, canary) {
  const number = String(index).padStart(3, "0");
  const put = (text) =>
    text.replaceAll("{host}", `127.0.0.1:${canary}/${email.name}`).replaceAll("{url}", `http://127.0.0.1:${canary}/${email.name}`)
      .replaceAll("{js}", `console.log(13370${number})`).replaceAll("{n}", number);
  email.html = put(email.html);
  const upload = { ...email.upload, mime_content: put(email.upload.mime_content) };
  return upload;
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
