/// From an empty platform to mail that is read, the way somebody new goes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open } from "./harness/browser.js";
import { emails, newsletter } from "./harness/data.js";
import { entered, PASSWORD } from "./harness/enter.js";
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

test("the first administrator's link leads in, once", async () => {
  const { page, context, wrong } = await open(browser);
  await page.goto(`${platform.url}/audit`);
  await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  await page.goto(platform.link);
  await page.locator("input[name=password]").fill(PASSWORD);
  await page.locator("input[name=again]").fill(PASSWORD);
  await page.getByRole("button", { name: "Set the password and sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  // The secret is not left in the address.
  assert.equal(new URL(page.url()).hash, "");
  await page.goto(`${platform.url}/account`);
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  await page.locator("input[name=username]").fill("admin");
  await page.locator("input[name=password]").fill("something else");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").waitFor();
  await page.locator("input[name=password]").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  await page.goto(platform.link);
  await page.getByRole("alert").waitFor();
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

test("a configuration is checked, compared, kept, and brought back", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  const first = JSON.stringify({ host: "https://exchange.example.com", auth_type: "ntlm", auth_user: "svc", auth_password: "secret", poll_frequency: 15,
    mailboxes: { "claims@example.com": { bucket: { owner: "acme", name: "desks" }, start_from: "bucket" } } }, null, 2);
  await platform.call("PUT", "api/v1/appliance-configs/acme/main", first);
  await page.goto(`${platform.url}/p/acme/configurations/main`);
  const editor = page.getByRole("textbox", { name: "Configuration main" });
  await editor.waitFor();
  const save = page.getByRole("button", { name: "Review and save" });
  const write = async (/** @type {string} */ text) => {
    await editor.click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText(text);
  };
  await write(first.replace('"poll_frequency"', '"poll_frequenzy"'));
  await page.getByRole("status").getByText("“poll_frequenzy” is no key of the configuration.").waitFor();
  assert.equal(await save.isDisabled(), true);
  await write(first.replace("15", "60"));
  await page.getByText("It has the form of the reference.").waitFor();
  await save.click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Keep these changes?").waitFor();
  await dialog.locator(".cm-changedLine").waitFor();
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "hidden" });
  const kept = await platform.call("GET", "api/v1/appliance-configs/acme/main");
  assert.equal(kept.poll_frequency, 60);
  assert.deepEqual(wrong, []);
  await context.close();
});
