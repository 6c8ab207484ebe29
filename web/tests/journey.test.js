/// From an empty platform to mail that is read, the way somebody new goes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { serious } from "./harness/axe.js";
import { launch } from "./harness/browser.js";
import { emails, newsletter, rfc5322 } from "./harness/data.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

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

test("a project, a bucket, and mail that appears while one looks", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  await page.goto(platform.url);
  await page.getByText("Make the first project").waitFor();
  await page.getByRole("button", { name: "New project" }).first().click();
  // What the server refuses is shown with its reason, and nothing that was typed is lost.
  await page.getByLabel("Name").fill("acme");
  await page.getByLabel("Title").fill("Acme Insurance");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { level: 1, name: "Acme Insurance" }).waitFor();
  await page.getByText("Make the first bucket").waitFor();
  await page.getByRole("button", { name: "New bucket" }).first().click();
  await page.getByLabel("Name").fill("desks");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { level: 1, name: "desks" }).waitFor();
  // The command names this server and this bucket.
  const command = page.getByLabel("Upload files", { exact: true });
  assert.match(await command.innerText(), new RegExp(`--endpoint ${platform.url} .*--bucket acme/desks`));
  const some = emails(3);
  await platform.call("PUT", "api/_private/buckets/acme/desks/emails", { emails: some.slice(0, 2) });
  await page.getByTestId("emails").getByText("2", { exact: true }).waitFor();
  await platform.call("PUT", "api/_private/buckets/acme/desks/emails", { emails: some });
  await page.getByTestId("emails").getByText("3", { exact: true }).waitFor();
  const { bucket } = await platform.call("GET", "api/_private/buckets/acme/desks");
  const state = (/** @type {string} */ status) => platform.call("PUT", `api/_private/buckets/id:${bucket.id}/keyed-sync-state/00ff`, {
    keyed_sync_state: { mailbox_name: "claims@example.com", folder_id: "1", folder_path: ["Inbox"], status, last_synced_at: new Date().toISOString() },
  });
  await state("IN_PROGRESS");
  await page.getByText("Catching up · 0 of 1 folder").waitFor();
  await state("UP_TO_DATE");
  await page.getByText("Up to date · 1 of 1 folder").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("mail becomes messages while one looks; they are found, and shown as they came", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  await page.goto(`${platform.url}/p/acme/sources`);
  await page.getByRole("button", { name: "New source" }).first().click();
  await page.getByLabel("Name").fill("mail");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { level: 1, name: "mail" }).waitFor();
  await page.getByTestId("messages").getByText("3", { exact: true }).waitFor();
  await platform.call("PUT", "api/_private/buckets/acme/desks/emails", { emails: [newsletter("https://canary.invalid")] });
  await page.getByTestId("newest").getByText("Quarterly update for brokers").first().waitFor();
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Search mail, or go to…").fill("quarterly");
  await page.getByText("Search mail for “quarterly”").click();
  const results = page.getByTestId("results");
  await results.locator("mark").first().waitFor();
  assert.equal((await results.locator("mark").first().innerText()).toLowerCase(), "quarterly");
  await results.getByRole("link").first().click();
  await page.getByRole("heading", { level: 1, name: "Quarterly update for brokers" }).waitFor();
  await page.getByText("Folder", { exact: true }).waitFor();
  /** @type {string[]} */
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.getByText("Original message").click();
  const frame = page.frameLocator("iframe[title='Original message']");
  await frame.getByText("Quarterly update for brokers").first().waitFor();
  await page.getByText(/from elsewhere not loaded/).waitFor();
  assert.equal(await page.locator("iframe").getAttribute("sandbox"), "allow-popups allow-popups-to-escape-sandbox");
  assert.deepEqual(asked.filter((one) => one.includes("canary")), []);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("what the server refuses is said in its words, and nothing typed is lost", async () => {
  const { page, context } = await entered(browser, platform);
  await page.goto(`${platform.url}/p/acme`);
  await page.getByRole("button", { name: "New bucket" }).click();
  await page.getByLabel("Name").fill("desks");
  await page.getByLabel("Title").fill("The same again");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("alert").getByText("desks").waitFor();
  assert.equal(await page.getByLabel("Title").inputValue(), "The same again");
  await context.close();
});

test("a thread is read from its first message to its last, and the search says where a query is wrong", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  await platform.call("PUT", "api/_private/buckets/acme/desks/emails", { emails: thread() });
  await page.goto(`${platform.url}/p/acme/sources/mail`);
  await page.getByTestId("newest").getByText("Re: Cold chain").first().waitFor();
  await page.goto(`${platform.url}/search?q=perishable`);
  // Two of the three have the word; as a thread they are one.
  await page.getByRole("status").getByText("2 messages").waitFor();
  await page.getByText("Threads", { exact: true }).click();
  const results = page.getByTestId("results").getByRole("link");
  await results.getByText("3 messages, 2 found").waitFor();
  assert.equal(await results.count(), 1);
  await results.click();
  await page.getByRole("heading", { level: 1, name: "Cold chain", exact: true }).waitFor();
  await page.getByText("3 messages of 2 people").waitFor();
  const parts = page.getByRole("main").getByRole("listitem");
  // The last is open, with the history cut; the others show how they begin.
  await parts.nth(2).getByRole("article").getByText("All papers are signed.").waitFor();
  assert.equal(await page.getByText("Which premium", { exact: false }).count(), 0);
  assert.deepEqual(await page.getByRole("article").count(), 1);
  assert.match(await parts.nth(0).innerText(), /Harbor Logistics[^]*perishable/);
  assert.match(await parts.nth(1).innerText(), /Underwriting[^]*premium/);
  await parts.nth(0).getByRole("button").click();
  await parts.nth(0).getByRole("article").getByText("Do our vans need a cover for perishable goods?").waitFor();
  assert.deepEqual(await serious(page), []);
  await parts.nth(0).getByRole("link", { name: "Properties, attachments and original" }).click();
  await page.getByRole("heading", { level: 1, name: "Cold chain", exact: true }).waitFor();
  await page.getByText("Folder", { exact: true }).waitFor();
  assert.deepEqual(await serious(page), []);
  await page.getByRole("link", { name: "Whole thread" }).click();
  await page.getByText("3 messages of 2 people").waitFor();
  await page.goto(`${platform.url}/search?q=${encodeURIComponent("cold 🚚 AND (perishable")}`);
  const mistake = page.getByLabel("Where the mistake is");
  assert.equal(await mistake.innerText(), "cold 🚚 AND (perishable");
  assert.equal(await mistake.locator("mark").innerText(), "(");
  assert.deepEqual(wrong, []);
  await context.close();
});

/** A question, its answer and the thanks. */
function thread() {
  /** @type {[string, string]} */
  const asks = ["Harbor Logistics", "dispatch@harbor.example"];
  /** @type {[string, string]} */
  const desk = ["Underwriting", "underwriting@example.com"];
  const texts = [
    "Good morning,\r\n\r\nDo our vans need a cover for perishable goods?",
    "Yes, they do. The premium for perishable goods is attached.\r\n\r\nOn Mon, 2 Nov 2026 08:00:00 +0000, Harbor Logistics wrote:\r\n> Do our vans need a cover?",
    "All papers are signed.\r\n\r\nOn Mon, 2 Nov 2026 09:00:00 +0000, Underwriting wrote:\r\n> Which premium do you want?",
  ];
  return texts.map((text, turn) => {
    const at = new Date(Date.UTC(2026, 10, 2, 8 + turn));
    const [from, to] = turn === 1 ? [desk, asks] : [asks, desk];
    const mail = { id: `<cold.${turn}@harbor.example>`, from, to, subject: turn === 0 ? "Cold chain" : "Re: Cold chain", text, at, reply: turn === 0 ? undefined : "<cold.0@harbor.example>" };
    return { id: mail.id, mailbox: desk[1], timestamp: at.toISOString(), mime_content: rfc5322(mail), metadata: { folder: ["Inbox"] }, attachments: [] };
  });
}
