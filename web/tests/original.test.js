/// An email as it came: its pictures, its text, its headers and its files. Whoever sends mail writes all of them.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { serious } from "./harness/axe.js";
import { launch } from "./harness/browser.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

/** @type {import("./harness/server.js").Platform} */
let platform;
/** @type {import("playwright-core").Browser} */
let browser;

const encoded = (/** @type {Buffer} */ bytes) => bytes.toString("base64").replace(/.{76}/g, "$&\r\n");
/** @param {string} type @param {string} text @param {BufferEncoding} encoding */
const written = (type, text, encoding = "utf8") => `Content-Type: ${type}\r\nContent-Transfer-Encoding: base64\r\n\r\n${encoded(Buffer.from(text, encoding))}\r\n`;
/** @param {string} kind @param {string[]} all */
const parts = (kind, all) => `Content-Type: multipart/${kind}; boundary="${kind}-parts"\r\n\r\n${all.map((one) => `--${kind}-parts\r\n${one}\r\n`).join("")}--${kind}-parts--\r\n`;

/** A picture of one pixel. */
const PIXEL = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC", "base64");

/** Whatever would come of it if a name or a text were taken for HTML. */
const HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>";

/** @type {{name: string, shown: string, saved: string, bytes: Buffer, size: string}[]} */
const FILES = [
  { name: "report.pdf", shown: "report.pdf", saved: "report.pdf", bytes: Buffer.from(Array.from({ length: 123_456 }, (_, at) => (at * at) % 251)), size: "123 KB" },
  { name: "../../etc/passwd", shown: "passwd", saved: "passwd", bytes: Buffer.from("root"), size: "4 bytes" },
  { name: "a\\\"b'c; d.txt", shown: "a\"b'c; d.txt", saved: "a_b'c; d.txt", bytes: Buffer.from([0, 255, 13, 10, 0]), size: "5 bytes" },
  // Shown as it is written, this would end in "exe.pdf".
  { name: "=?utf-8?Q?invoice=E2=80=AEfdp=2Eexe?=", shown: "invoicefdp.exe", saved: "invoicefdp.exe", bytes: Buffer.from("MZ"), size: "2 bytes" },
  { name: "<img src=x onerror=document.title='run'>.txt", shown: "<img src=x onerror=document.title='run'>.txt", saved: "_img src=x onerror=document.title='run'_.txt", bytes: Buffer.from("<"), size: "1 byte" },
  { name: "empty.txt", shown: "empty.txt", saved: "empty.txt", bytes: Buffer.alloc(0), size: "0 bytes" },
];

/** Letters beyond ASCII, blanks that begin a line, and one line that is longer than any screen. */
const TEXT = `Grüße aus Köln – 5 € für „alle“\n\n  two blanks before\n${HOSTILE}\n${"0123456789".repeat(400)}!`;

/** Its bytes in Windows-1252, each as the character with that number: four are elsewhere in Unicode. */
const WINDOWS = TEXT.replace(/[€„“–]/g, (one) => ({ "€": "\x80", "„": "\x84", "“": "\x93", "–": "\x96" })[one] ?? one);

/** What follows the common fields, by the subject. @type {Record<string, string>} */
const EMAILS = {
  Pictures: parts("related", [
    written("text/html; charset=utf-8", `<p>Three pictures</p><img src="cid:logo" alt="Logo">
      <img src="https://one.canary.example/a.png?who=1"><img src="https://two.canary.example/b.png">
      <p style="background: url(https://style.canary.example/c.png)">and one that is none</p><link rel="preconnect" href="https://ahead.canary.example">`),
    `Content-Type: image/png; name="logo.png"\r\nContent-ID: <logo>\r\nContent-Transfer-Encoding: base64\r\n\r\n${encoded(PIXEL)}`,
  ]),
  Another: written("text/html", "<p>One more</p><img src=\"https://three.canary.example/d.png\">"),
  "=?iso-8859-1?Q?Gr=FC=DFe?= =?utf-8?B?4oKsIDw=?=b>": [
    "Received: from b.example\r\n by c.example; Mon, 2 Nov 2026 08:00:01 +0000", "Received: from a.example by b.example",
    `X-Hostile: ${HOSTILE}`, "X-Empty:", written("text/plain; charset=windows-1252", WINDOWS.replaceAll("\n", "\r\n"), "latin1"),
  ].join("\r\n"),
  Files: parts("mixed", [
    written("text/plain", "Six files are attached."),
    ...FILES.map(({ name, bytes }) => `Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="${name}"\r\nContent-Transfer-Encoding: base64\r\n\r\n${encoded(bytes)}`),
  ]),
  Deep: written("text/html", `${"<div>".repeat(600)}<b>far within</b>${"</div>".repeat(600)}`),
};

const mimes = Object.entries(EMAILS).map(([subject, rest], number) => [
  "From: Ann <ann@partner.example>", "To: desk@example.com", `Subject: ${subject}`, `Date: Mon, 2 Nov 2026 08:0${number}:00 +0000`, `Message-ID: <${number}@partner.example>`, "MIME-Version: 1.0", rest,
].join("\r\n"));

before(async () => {
  [platform, browser] = await Promise.all([start("--base-path", "/mail"), launch()]);
  await platform.call("PUT", "api/_private/projects/acme", { project: {} });
  const { bucket } = await platform.call("PUT", "api/_private/buckets/acme/desks", { bucket: { bucket_type: "emails" } });
  await platform.call("PUT", "api/v1/sources/acme/letters", { source: { bucket_id: bucket.id, email_transform_tag: "generic.0.CONVKER5" } });
  const emails = mimes.map((mime_content, number) => ({ id: `<${number}@partner.example>`, mailbox: "desk@example.com", timestamp: `2026-11-02T08:0${number}:00Z`, mime_content }));
  await platform.call("PUT", "api/_private/buckets/acme/desks/emails", { emails });
});
after(async () => {
  await browser.close();
  await platform.stop();
});

/**
 * Goes from the source to one of its messages.
 * @param {import("playwright-core").Page} page
 * @param {string} subject
 */
async function choose(page, subject) {
  await page.getByTestId("newest").getByRole("link").filter({ hasText: subject }).click();
  await page.getByRole("heading", { level: 1, name: subject, exact: true }).waitFor();
}

/** @param {import("playwright-core").Page} page @param {string} subject */
async function message(page, subject) {
  await page.goto(`${platform.url}/p/acme/sources/letters`);
  await page.getByTestId("messages").getByText(String(mimes.length), { exact: true }).waitFor();
  await choose(page, subject);
}

/** @param {import("playwright-core").Page} page @param {"Mail" | "Text" | RegExp} name */
const view = (page, name) => page.getByRole("radiogroup", { name: "Part of the original" }).getByText(name, { exact: true }).click();

/** @param {import("playwright-core").Page} page */
async function original(page) {
  await page.getByText("Original message", { exact: true }).click();
  return page.frameLocator("iframe[title='Original message']");
}

/**
 * Everything that is not the platform is asked for by way of this proxy, so that whatever leaves the browser is
 * counted where no page can hide it, connections alone as well. It hands out nothing.
 */
async function startCanary() {
  /** @type {Set<string>} */
  const seen = new Set();
  const server = createServer((request, response) => {
    seen.add(request.url ?? "");
    response.writeHead(404).end();
  });
  server.on("connect", (request, socket) => {
    seen.add(request.url ?? "");
    socket.on("error", () => socket.destroy());
    socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  const port = typeof address === "object" ? address?.port : 0;
  return { seen, server: `http://127.0.0.1:${port}`, stop: () => server.close().closeAllConnections() };
}

/**
 * What a browser makes of a click: the name that it saves under, and the hash of what it got.
 * @param {import("playwright-core").Page} page
 * @param {import("playwright-core").Locator} link
 */
async function saved(page, link) {
  const [download] = await Promise.all([page.waitForEvent("download"), link.click()]);
  const bytes = await readFile(await download.path());
  return [download.suggestedFilename(), hash(bytes)];
}
/** @param {Buffer | string} bytes */
const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");

// Beside each other: most of the time is waiting for what pages ask for.
describe("an original", { concurrency: true }, () => {
  test("pictures from elsewhere are loaded when the reader asks, in this message alone", async (t) => {
    const canary = await startCanary();
    t.after(canary.stop);
    const { page, context, wrong } = await entered(browser, platform, { proxy: { server: canary.server, bypass: "127.0.0.1" } });
    /** @type {[string, string][]} */
    const asked = [];
    page.on("request", (request) => {
      if (!request.url().startsWith(platform.url) && !request.url().startsWith("data:")) asked.push([request.url(), request.headers()["referer"] ?? ""]);
    });
    await message(page, "Pictures");
    const frame = await original(page);
    // What came with the message is there at once.
    const logo = frame.getByRole("img", { name: "Logo" });
    await logo.waitFor();
    assert.equal(await logo.evaluate((image) => /** @type {HTMLImageElement} */ (image).decode().then(() => /** @type {HTMLImageElement} */ (image).naturalWidth)), 1);
    await page.getByText("2 pictures from elsewhere not loaded").waitFor();
    assert.deepEqual(await serious(page), []);
    assert.deepEqual([asked, [...canary.seen]], [[], []]);
    const answered = Promise.all(["a.png?who=1", "b.png"].map((name) => page.waitForEvent("requestfailed", (request) => request.url().endsWith(name))));
    await page.getByRole("button", { name: "Load pictures" }).click();
    await page.getByText("from elsewhere not loaded").waitFor({ state: "detached" });
    await answered;
    await logo.waitFor();
    // Those, and nothing that tells who asks.
    assert.deepEqual(asked.sort(), [["https://one.canary.example/a.png?who=1", ""], ["https://two.canary.example/b.png", ""]]);
    // It holds while one looks at the text in between.
    await view(page, "Text");
    await view(page, "Mail");
    await frame.getByText("Three pictures").waitFor();
    assert.equal(await page.getByText("from elsewhere not loaded").count(), 0);
    // Another message asks for itself, and so does this one when one comes back to it.
    await page.getByRole("link", { name: "letters", exact: true }).click();
    await choose(page, "Another");
    await original(page);
    await frame.getByText("One more").waitFor();
    await page.getByText("1 picture from elsewhere not loaded").waitFor();
    const before = asked.length;
    await page.evaluate(() => history.go(-2));
    await page.getByRole("heading", { level: 1, name: "Pictures" }).waitFor();
    await original(page);
    await frame.getByText("Three pictures").waitFor();
    await page.getByText("2 pictures from elsewhere not loaded").waitFor();
    assert.equal(asked.length, before);
    assert.deepEqual([...canary.seen].sort(), ["one.canary.example:443", "two.canary.example:443"]);
    assert.deepEqual(wrong, []);
    await context.close();
  });

  test("the text of an original is what was written, and its headers stand as they came", async () => {
    const { page, context, wrong } = await entered(browser, platform);
    await message(page, "Grüße€ <b>");
    await original(page);
    await view(page, "Text");
    const text = page.getByRole("main").locator("pre");
    assert.equal(await text.innerText(), TEXT);
    // The long line is broken, and nothing is run.
    assert.equal(await text.evaluate((element) => element.scrollWidth <= element.clientWidth), true);
    assert.equal(await text.locator("*").count(), 0);
    await view(page, /^Headers/);
    const list = page.locator("dl", { hasText: "Message-ID" });
    const names = await list.locator("dt").allInnerTexts();
    const values = await list.locator("dd").allInnerTexts();
    assert.deepEqual(names.map((name, place) => [name, values[place]]), [
      ["From", "Ann <ann@partner.example>"], ["To", "desk@example.com"], ["Subject", "Grüße€ <b>"], ["Date", "Mon, 2 Nov 2026 08:02:00 +0000"],
      ["Message-ID", "<2@partner.example>"], ["MIME-Version", "1.0"], ["Received", "from b.example by c.example; Mon, 2 Nov 2026 08:00:01 +0000"],
      ["Received", "from a.example by b.example"], ["X-Hostile", HOSTILE], ["X-Empty", ""],
      ["Content-Type", "text/plain; charset=windows-1252"], ["Content-Transfer-Encoding", "base64"],
    ]);
    await page.getByRole("radio", { name: "Headers (12)" }).waitFor({ state: "attached" });
    assert.equal(await list.locator("img, script").count(), 0);
    assert.notEqual(await page.title(), "run");
    assert.deepEqual(await serious(page), []);
    assert.deepEqual(wrong, []);
    await context.close();
  });

  test("files are listed under harmless names, and come down byte by byte", async () => {
    const { page, context, wrong } = await entered(browser, platform);
    await message(page, "Files");
    // Beside the cleaned message, and below the original.
    for (const [title, place] of /** @type {const} */ ([["6 attachments", "message"], ["6 parts", "original"]])) {
      if (place === "original") await original(page);
      const list = page.getByRole("region", { name: title }).getByRole("listitem");
      await list.nth(FILES.length - 1).waitFor();
      const told = await list.allInnerTexts();
      const sizes = FILES.map(({ shown, size }) => `${shown}\n${size} · application/octet-stream`);
      assert.deepEqual(told, sizes);
      const found = [];
      for (const [at] of FILES.entries()) found.push(await saved(page, list.nth(at).getByRole("link")));
      assert.deepEqual(found, FILES.map((file) => [file.saved, hash(file.bytes)]), place);
    }
    assert.deepEqual(await serious(page), []);
    // The whole of it, as it was uploaded.
    const mime = mimes[3] ?? "";
    const whole = page.getByRole("link", { name: `Download (${Math.round(mime.length / 1000)} KB)` });
    assert.deepEqual(await saved(page, whole), ["3@partner.example.eml", hash(mime)]);
    assert.notEqual(await page.title(), "run");
    assert.deepEqual(wrong, []);
    await context.close();
  });

  test("HTML that cannot be made safe is not shown, and the reader is told why", async () => {
    const { page, context, wrong } = await entered(browser, platform);
    await message(page, "Deep");
    const frame = await original(page);
    await frame.getByText("far within").waitFor();
    assert.equal(await frame.locator("b").count(), 0);
    await page.getByRole("alert", { name: "Shown as text" }).getByText("too deeply nested").waitFor();
    assert.deepEqual(wrong, []);
    await context.close();
  });
});
