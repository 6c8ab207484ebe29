/// From an empty platform to mail that is read, the way somebody new goes.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./harness/browser.js";
import { emails } from "./harness/data.js";
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
