/// The settings of a source, who may change them, and the emails that it could not make messages of.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { serious } from "./harness/axe.js";
import { launch } from "./harness/browser.js";
import { rfc5322 } from "./harness/data.js";
import { entered, enteredAs } from "./harness/enter.js";
import { start } from "./harness/server.js";

/** @type {import("./harness/server.js").Platform} */
let platform;
/** @type {import("playwright-core").Browser} */
let browser;
/** Ids of buckets, by their names. @type {Record<string, string>} */
const buckets = {};

/** @param {string} id @param {string} subject @param {string} text */
function email(id, subject, text) {
  const at = new Date("2026-11-02T08:00:00Z");
  const mime = rfc5322({ id, from: ["Ann", "ann@partner.example"], to: ["Desk", "desk@example.com"], subject, text, at });
  return { id, mailbox: "desk@example.com", timestamp: at.toISOString(), mime_content: mime };
}

before(async () => {
  [platform, browser] = await Promise.all([start(), launch()]);
  for (const project of ["acme", "other"]) await platform.call("PUT", `api/_private/projects/${project}`, { project: {} });
  for (const name of ["acme/desks", "acme/archive", "acme/gone", "other/mail", "acme/damaged", "acme/lost"]) {
    buckets[name] = (await platform.call("PUT", `api/_private/buckets/${name}`, { bucket: { bucket_type: "emails" } })).bucket.id;
    if (name.startsWith("acme")) await platform.call("PUT", `api/_private/buckets/${name}/emails`, { emails: [email("<1@partner.example>", `Mail of ${name}`, "Hello")] });
  }
});
after(async () => {
  await browser.close();
  await platform.stop();
});

/** @param {string} name @param {object} source */
const make = (name, source = {}) => platform.call("PUT", `api/v1/sources/acme/${name}`, { source });
/** What of a source its settings are about. @param {string} name */
async function kept(name) {
  const { title, description, language, bucket_id, email_transform_tag } = (await platform.call("GET", `api/v1/sources/acme/${name}`)).source;
  return { title, description, language, bucket_id, email_transform_tag };
}

/** Noise is large for the disk, too: a content of that size is a file of its own, which can be lost and found. @param {number} lines */
const noise = (lines) => Array.from({ length: lines }, (_, number) => createHash("sha384").update(String(number)).digest("base64")).join("\r\n");

/** Where the content of an email is kept. @param {{mime_content: string}} email */
async function contentOf({ mime_content: mime }) {
  const hash = createHash("sha256").update(Buffer.from(mime)).digest("hex");
  const contents = join(platform.folder, "contents");
  const name = (await readdir(contents, { recursive: true })).find((name) => name.includes(hash.slice(2)));
  assert.ok(name, "the content is no file");
  return { hash, file: join(contents, name) };
}

/** @param {import("playwright-core").Page} page */
async function settings(page) {
  await page.getByRole("button", { name: "Settings" }).click();
  const dialog = page.getByRole("dialog", { name: "Settings of the source" });
  await dialog.waitFor();
  const field = (/** @type {string} */ name) => dialog.getByLabel(name, { exact: true });
  const save = async () => {
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.waitFor({ state: "detached" });
  };
  const values = () => Promise.all(["Title", "Description", "Language", "Bucket", "Transform tag"].map((name) => field(name).inputValue()));
  return { dialog, field, save, values };
}

// Beside each other: most of the time is waiting for what pages ask for.
describe("a source", { concurrency: true }, () => {
  test("each setting of a source is changed and stays, and no other changes with it", async () => {
    const { page, context, wrong } = await entered(browser, platform);
    await make("letters", { title: "Letters", sensitive_properties: ["string:Team"], should_translate: true });
    await page.goto(`${platform.url}/p/acme/sources/letters`);
    await page.getByText("This source has no bucket").waitFor();
    let form = await settings(page);
    assert.deepEqual(await form.values(), ["Letters", "", "en", "", "generic.0.CONVKER5"]);
    await form.field("Title").fill("Briefe <b>");
    await form.field("Description").fill("Zwei\nZeilen");
    await form.field("Language").selectOption("German");
    assert.deepEqual(await serious(page), []);
    await form.save();
    await page.getByRole("heading", { level: 1, name: "Briefe <b>", exact: true }).waitFor();
    const text = { title: "Briefe <b>", description: "Zwei\nZeilen", language: "de" };
    // A tag that nobody chose is not written.
    assert.deepEqual(await kept("letters"), { ...text, bucket_id: undefined, email_transform_tag: undefined });
    // Attached: its mail appears; with the tag that the form shows.
    form = await settings(page);
    await form.field("Bucket").selectOption("acme/desks");
    await form.save();
    await page.getByTestId("newest").getByText("Mail of acme/desks").waitFor();
    assert.deepEqual(await kept("letters"), { ...text, bucket_id: buckets["acme/desks"], email_transform_tag: "generic.0.CONVKER5" });
    await page.reload();
    form = await settings(page);
    assert.deepEqual(await form.values(), ["Briefe <b>", "Zwei\nZeilen", "de", buckets["acme/desks"], "generic.0.CONVKER5"]);
    // Another bucket, and another tag.
    await form.field("Bucket").selectOption("acme/archive");
    await form.field("Transform tag").selectOption("generic-uncut.0.CONVKER5");
    await form.save();
    await page.getByTestId("newest").getByText("Mail of acme/archive").waitFor();
    assert.deepEqual(await kept("letters"), { ...text, bucket_id: buckets["acme/archive"], email_transform_tag: "generic-uncut.0.CONVKER5" });
    const tiles = page.getByRole("main").locator("dl");
    await tiles.filter({ hasText: "Bucket" }).getByRole("link", { name: "archive" }).waitFor();
    await tiles.filter({ hasText: "Transform tag" }).getByText("generic-uncut.0.CONVKER5").waitFor();
    // Detached: what is there stays.
    form = await settings(page);
    await form.field("Bucket").selectOption("None");
    await form.save();
    await tiles.filter({ hasText: "Bucket" }).getByText("None").waitFor();
    await page.getByTestId("newest").getByText("Mail of acme/archive").waitFor();
    assert.deepEqual(await kept("letters"), { ...text, bucket_id: undefined, email_transform_tag: "generic-uncut.0.CONVKER5" });
    // Nothing that the form does not show was touched.
    const { source } = await platform.call("GET", "api/v1/sources/acme/letters");
    assert.deepEqual([source.sensitive_properties, source.should_translate], [["string:Team"], true]);
    assert.deepEqual(wrong, []);
    await context.close();
  });

  test("what the server refuses is said in its words in the form, which keeps what was typed", async () => {
    const { page, context, wrong } = await entered(browser, platform);
    await make("refused", { title: "As it was" });
    await page.goto(`${platform.url}/p/acme/sources/refused`);
    const form = await settings(page);
    await form.field("Title").fill("Not to be lost");
    await form.field("Description").fill("Nor this");
    await form.field("Bucket").selectOption("acme/gone");
    // Somebody else is faster, and the list in the form does not hear of it.
    await page.route("**/api/_private/buckets/acme", (route) => route.abort());
    await platform.call("DELETE", `api/_private/buckets/id:${buckets["acme/gone"]}`);
    await form.dialog.getByRole("button", { name: "Save" }).click();
    await form.dialog.getByRole("alert").getByText(`\`source.bucket_id\`: the bucket \`id:${buckets["acme/gone"]}\` was not found`).waitFor();
    assert.deepEqual((await form.values()).slice(0, 2), ["Not to be lost", "Nor this"]);
    assert.deepEqual(await serious(page), []);
    assert.equal((await kept("refused")).title, "As it was");
    // Who thinks better of it finds what is there the next time, without the error.
    await form.dialog.getByRole("button", { name: "Cancel" }).click();
    await form.dialog.waitFor({ state: "detached" });
    await settings(page);
    assert.deepEqual((await form.values()).slice(0, 4), ["As it was", "", "en", ""]);
    assert.equal(await form.dialog.getByRole("alert").count(), 0);
    await form.field("Bucket").selectOption("acme/desks");
    await form.save();
    assert.equal((await kept("refused")).bucket_id, buckets["acme/desks"]);
    assert.deepEqual(wrong, []);
    await context.close();
  });

  test("a title or description that is too long is said to be before it is sent, and nothing of it is cut", async () => {
    const { page, context, wrong } = await entered(browser, platform);
    await make("long", { title: "As it was" });
    await page.goto(`${platform.url}/p/acme/sources/long`);
    const form = await settings(page);
    /** @type {string[]} */
    const sent = [];
    page.on("request", (request) => {
      if (request.method() === "POST" && request.url().endsWith("/api/v1/sources/acme/long")) sent.push(request.url());
    });
    const save = form.dialog.getByRole("button", { name: "Save" });
    const told = (/** @type {string} */ text) => form.dialog.getByText(text, { exact: true });
    /** Characters as the server counts them: each of these has two units of UTF-16. */
    const title = "🚚".repeat(128);
    for (const [name, value, problem] of /** @type {const} */ ([
      ["Title", `${title}🚚`, "1 character too many: at most 128 are allowed"],
      ["Description", `${"x".repeat(16_384)}\nyz`, "3 characters too many: at most 16,384 are allowed"],
    ])) {
      // What comes at once, as from the clipboard, is what a limit of the browser itself would cut.
      await form.field(name).fill("");
      await form.field(name).focus();
      await page.keyboard.insertText(value);
      await told(problem).waitFor();
      assert.equal(await form.field(name).inputValue(), value);
      assert.equal(await form.field(name).getAttribute("aria-invalid"), "true");
      await save.click();
      assert.equal(await form.field(name).inputValue(), value);
      assert.deepEqual(await serious(page), []);
      // One less is allowed.
      await form.field(name).fill(name === "Title" ? title : "x".repeat(16_384));
      await told(problem).waitFor({ state: "detached" });
    }
    assert.deepEqual(sent, []);
    await form.save();
    assert.equal(sent.length, 1);
    const { title: ours, description } = await kept("long");
    assert.deepEqual([ours, description], [title, "x".repeat(16_384)]);
    // Of a long description the beginning is shown, until somebody wants more.
    const text = page.getByRole("main").getByText(/^x+$/);
    const height = async () => (await text.boundingBox())?.height ?? 0;
    const before = await height();
    assert.ok(before < 150, `${before} of 150`);
    await page.getByRole("button", { name: "Show all" }).click();
    await page.getByRole("button", { name: "Show less" }).waitFor();
    assert.ok(await height() > 10 * before);
    // The server's own words, for what gets to it all the same.
    await page.route("**/api/v1/sources/acme/long", (route) => {
      if (route.request().method() !== "POST") return route.fallback();
      const { source } = route.request().postDataJSON();
      return route.fallback({ postData: JSON.stringify({ source: { ...source, title: "x".repeat(129) } }) });
    });
    await settings(page);
    await form.field("Title").fill("Not to be lost");
    await save.click();
    await form.dialog.getByRole("alert").getByText("`source.title`: expected 0 to 128 characters").waitFor();
    assert.equal(await form.field("Title").inputValue(), "Not to be lost");
    assert.deepEqual(wrong, []);
    await context.close();
  });

  test("a source whose name is too long for a title is made without one", async () => {
    const { page, context, wrong } = await entered(browser, platform);
    const name = "n".repeat(256);
    await page.goto(`${platform.url}/p/acme/sources`);
    await page.getByRole("button", { name: "New source" }).first().click();
    const dialog = page.getByRole("dialog", { name: "New source" });
    await dialog.getByLabel("Name").focus();
    await page.keyboard.insertText(`${name}n`);
    await dialog.getByText("1 character too many: at most 256 are allowed").waitFor();
    await dialog.getByLabel("Name").fill(name);
    await dialog.getByLabel("Bucket").selectOption("None, messages are uploaded");
    await dialog.getByRole("button", { name: "Create" }).click();
    await page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
    assert.equal((await kept(name)).title, name);
    assert.deepEqual(wrong, []);
    await context.close();
  });

  test("whoever may not change a source is not offered to, and a bucket that one does not see stays attached", async () => {
    await make("guarded", { title: "Guarded", bucket_id: buckets["other/mail"], email_transform_tag: "generic-uncut.0.CONVKER5" });
    const before = await kept("guarded");
    await make("open", { bucket_id: buckets["acme/desks"], email_transform_tag: "generic.0.CONVKER5" });
    const enter = (/** @type {string} */ username, /** @type {string[]} */ permissions) => enteredAs(browser, platform, { username, projects: { acme: permissions } }, "/p/acme/sources/guarded");
    const reader = await enter("desk-reader", ["sources-read", "buckets-read"]);
    await reader.page.getByText("No messages yet").waitFor();
    assert.deepEqual(await reader.page.getByRole("main").getByRole("button").filter({ hasNotText: "Copy" }).allInnerTexts(), []);
    assert.equal(await reader.page.getByRole("link", { name: "Upload a CSV" }).count(), 0);
    // Nor anything else of the project that one may only look at.
    for (const [page, shown] of [["/p/acme", "desks"], ["/p/acme/buckets/desks", "Emails"], ["/p/acme/sources", "Guarded"]]) {
      await reader.page.goto(`${platform.url}${page}`);
      const main = reader.page.getByRole("main");
      await main.getByText(shown ?? "").first().waitFor();
      assert.equal(await main.getByRole("button", { name: /^(New|Delete)/ }).count(), 0, page);
    }
    await reader.page.goto(`${platform.url}/p/acme/sources/guarded/csv`);
    await reader.page.getByText("Not for you to upload").waitFor();
    assert.equal(await reader.page.getByLabel("CSV file").count(), 0);
    // What is asked for all the same is refused, and no button says that it might not be the next time.
    await reader.page.goto(`${platform.url}/p/acme/configurations`);
    const refused = reader.page.getByRole("alert").filter({ hasText: "appliance-config-read" });
    await refused.waitFor();
    assert.equal(await refused.getByRole("button").count(), 0);
    // A message is shown cleaned only to whoever may not read emails.
    const read = async (/** @type {import("playwright-core").Page} */ page) => {
      await page.goto(`${platform.url}/p/acme/sources/open`);
      const answered = page.waitForResponse((response) => response.url().endsWith(`/buckets/id:${buckets["acme/desks"]}`));
      await page.getByTestId("newest").getByText("Mail of acme/desks").click();
      await page.getByRole("article").getByText("Hello").waitFor();
      await answered;
      return page.getByRole("radiogroup", { name: "How the message is shown" });
    };
    assert.equal(await (await read(reader.page)).count(), 0);
    // By a role as well as by name; the bucket is in a project of others, and the list of tags does not come.
    const lead = await enter("desk-lead", ["role-cm-project-admin"]);
    await lead.page.route("**/api/_private/sources/email-transform", (route) => route.abort());
    await lead.page.reload();
    await lead.page.getByRole("main").locator("dl", { hasText: "Bucket" }).getByText("Not listed").waitFor();
    await lead.page.getByRole("link", { name: "Upload a CSV" }).waitFor();
    const form = await settings(lead.page);
    assert.deepEqual(await form.values(), [before.title, before.description, before.language, before.bucket_id, before.email_transform_tag]);
    await form.field("Title").fill("Renamed");
    await form.save();
    await lead.page.getByRole("heading", { level: 1, name: "Renamed" }).waitFor();
    assert.deepEqual(await kept("guarded"), { ...before, title: "Renamed" });
    await (await read(lead.page)).waitFor();
    assert.deepEqual([...reader.wrong, ...lead.wrong], []);
    await Promise.all([reader.context.close(), lead.context.close()]);
  });

  test("an email that could not be converted is listed with the reason, and tried again", async () => {
    const { page, context, wrong } = await entered(browser, platform);
    const lost = email("<lost&amp;found@partner.example>", "Lost and found", noise(3000));
    await platform.call("PUT", "api/_private/buckets/acme/damaged/emails", { emails: [lost] });
    const { hash, file } = await contentOf(lost);
    await rename(file, join(platform.folder, "aside"));
    await make("damaged", { bucket_id: buckets["acme/damaged"], email_transform_tag: "generic.0.CONVKER5" });
    await page.goto(`${platform.url}/p/acme/sources/damaged`);
    const aside = page.getByRole("region", { name: "1 email could not be converted" });
    const row = aside.getByRole("listitem");
    await row.getByText("<lost&amp;found@partner.example>", { exact: true }).waitFor();
    await row.getByText(hash).waitFor();
    assert.equal(await row.count(), 1);
    // The other is not kept waiting.
    const newest = page.getByTestId("newest").getByRole("link");
    await newest.getByText("Mail of acme/damaged").waitFor();
    assert.equal(await newest.count(), 1);
    const conversion = page.getByRole("main").locator("dl", { hasText: "Conversion" });
    await conversion.getByText("1 of 2 emails").waitFor();
    assert.deepEqual(await serious(page), []);
    await rename(join(platform.folder, "aside"), file);
    await aside.getByRole("button", { name: "Try again" }).click();
    await page.getByText("They are tried again.").waitFor();
    await newest.getByText("Lost and found").waitFor();
    await conversion.getByText("2 of 2 emails").waitFor();
    await aside.waitFor({ state: "detached" });
    assert.equal(await page.getByText("could not be converted").count(), 0);
    assert.deepEqual(wrong, []);
    await context.close();
  });

  test("of more than 100 emails that are set aside all are counted, and it is said which are listed", async () => {
    const { page, context, wrong } = await entered(browser, platform);
    // They share one content, which is lost. The platform lists the last 100 of them, and has no next page.
    const { mime_content } = email("<many@partner.example>", "Many", noise(3000));
    const ids = Array.from({ length: 102 }, (_, number) => `<many.${number}@partner.example>`);
    const many = ids.map((id) => ({ ...email(id, "", ""), mime_content }));
    for (let at = 0; at < many.length; at += 34) await platform.call("PUT", "api/_private/buckets/acme/lost/emails", { emails: many.slice(at, at + 34) });
    await rm((await contentOf({ mime_content })).file);
    await make("lost", { bucket_id: buckets["acme/lost"], email_transform_tag: "generic.0.CONVKER5" });
    await page.goto(`${platform.url}/p/acme/sources/lost`);
    const aside = (/** @type {number} */ count) => page.getByRole("region", { name: `${count} emails could not be converted`, exact: true });
    await aside(102).waitFor();
    await page.getByText("1 of 103 emails").waitFor();
    const listed = async (/** @type {number} */ count) => (await aside(count).getByRole("listitem").allInnerTexts()).map((row) => row.split("\n")[0]);
    const rows = await listed(102);
    assert.equal(rows.length, 100);
    assert.equal(new Set(rows).size, 100);
    assert.deepEqual(rows.filter((id) => !ids.includes(id ?? "")), []);
    await aside(102).getByText("Listed are the last 100. Those before them are tried again as well.").waitFor();
    assert.deepEqual(await serious(page), []);
    // When there is room, those that were not listed are, and nothing more is said.
    const gone = rows.slice(0, 2).map((id) => `id=${encodeURIComponent(id ?? "")}`);
    await platform.call("DELETE", `api/_private/buckets/acme/lost/emails?${gone.join("&")}`);
    await aside(100).waitFor();
    const left = ids.filter((id) => !rows.slice(0, 2).includes(id));
    assert.deepEqual((await listed(100)).sort(), left.sort());
    assert.equal(await page.getByText("Listed are the last").count(), 0);
    assert.deepEqual(wrong, []);
    await context.close();
  });
});
