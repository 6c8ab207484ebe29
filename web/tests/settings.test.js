/// What is configured here: appliances, integrations, and the mails that tell of it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { serious } from "./harness/axe.js";
import { launch } from "./harness/browser.js";
import { entered, enteredAs } from "./harness/enter.js";
import { start } from "./harness/server.js";

/** @type {import("./harness/server.js").Platform} */
let platform;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  [platform, browser] = await Promise.all([start(), launch()]);
  await platform.call("PUT", "api/_private/projects/acme", { project: { title: "Acme Insurance" } });
  await platform.call("PUT", "api/_private/buckets/acme/desks", { bucket: { bucket_type: "emails" } });
});
after(async () => {
  await browser.close();
  await platform.stop();
});

const CONFIG = {
  host: "https://exchange.example.com", auth_type: "ntlm", auth_user: "svc", auth_password: "correct horse", poll_frequency: 15,
  mailboxes: { "claims@example.com": { bucket: { owner: "acme", name: "desks" }, start_from: "bucket" } },
};
/** A configuration as somebody would write it. @param {object} changes */
const written = (changes = {}) => `${JSON.stringify({ ...CONFIG, ...changes }, null, 2)}\n`;

/**
 * @param {import("playwright-core").Page} page
 * @param {string} name
 */
async function editor(page, name) {
  const field = page.getByRole("textbox", { name });
  await field.waitFor();
  return async (/** @type {string} */ text) => {
    await field.click();
    await page.keyboard.press("Control+a");
    await page.keyboard.insertText(text);
  };
}

test("a configuration is checked, compared and kept", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  await platform.call("PUT", "api/v1/appliance-configs/acme/main", written());
  await page.goto(`${platform.url}/p/acme/configurations`);
  // When it was written is known, too.
  await page.getByText(/version 1 · by admin/).locator("time").waitFor();
  await page.getByRole("link", { name: /main/ }).click();
  const write = await editor(page, "Configuration main");
  // Secrets are there and not seen, until somebody wants to see them.
  const hidden = page.locator(".hidden-secret, .hidden-secret *");
  await hidden.first().waitFor();
  const colors = await hidden.evaluateAll((all) => all.map((one) => getComputedStyle(one).color));
  assert.deepEqual(new Set(colors), new Set(["rgba(0, 0, 0, 0)"]));
  await page.getByRole("switch", { name: "Hide secrets" }).click();
  await hidden.first().waitFor({ state: "detached" });
  const save = page.getByRole("button", { name: "Review and save" });
  await write(written().replace('"poll_frequency"', '"poll_frequenzy"'));
  await page.getByRole("status").getByText("“poll_frequenzy” is no key of the configuration.").waitFor();
  assert.equal(await save.isDisabled(), true);
  await write(written({ poll_frequency: 60 }));
  await page.getByText("It has the form of the reference.").waitFor();
  await save.click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("Keep these changes?").waitFor();
  await dialog.locator(".cm-changedLine").first().waitFor();
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.waitFor({ state: "hidden" });
  const kept = await platform.call("GET", "api/v1/appliance-configs/acme/main");
  assert.equal(kept.poll_frequency, 60);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("an older configuration is shown against the one in force, and only then brought back", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  const at = "api/v1/appliance-configs/acme/old";
  const first = { ...CONFIG, auth_password: "former secret" };
  for (const changes of [first, { poll_frequency: 30 }, { poll_frequency: 60 }]) await platform.call("PUT", at, written(changes));
  await page.goto(`${platform.url}/p/acme/configurations/old`);
  const history = page.getByRole("region", { name: "History" });
  await history.getByText("Version 3").getByText("in force").waitFor();
  const dialog = page.getByRole("dialog");
  const lines = async () => ({
    gone: (await dialog.locator(".cm-deletedLine").allInnerTexts()).map((line) => line.trim()),
    come: (await dialog.locator(".cm-changedLine").allInnerTexts()).map((line) => line.trim()),
  });
  // What came since can be looked at alone.
  await history.getByRole("button", { name: "Compare with version 2" }).click();
  await dialog.getByText("Since version 2").waitFor();
  await dialog.locator(".cm-changedLine").first().waitFor();
  assert.deepEqual(await lines(), { gone: ['"poll_frequency": 30,'], come: ['"poll_frequency": 60,'] });
  assert.equal(await dialog.getByRole("button", { name: "Save" }).count(), 0);
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await dialog.waitFor({ state: "hidden" });
  await history.getByRole("button", { name: "Restore version 1" }).click();
  await dialog.getByText("Restore version 1?").waitFor();
  await dialog.locator(".cm-changedLine").first().waitFor();
  // That there is another password is seen, and neither of the two.
  assert.deepEqual(await lines(), {
    gone: ['"auth_password": "••••••••",', '"poll_frequency": 60,'], come: ['"auth_password": "•••••••• (new)",', '"poll_frequency": 15,'],
  });
  assert.doesNotMatch(await dialog.innerText(), /former secret|correct horse/);
  assert.deepEqual(await serious(page), []);
  // Nothing has changed yet, and whoever thinks better of it leaves it so.
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "hidden" });
  assert.equal((await platform.call("GET", at)).poll_frequency, 60);
  await history.getByRole("button", { name: "Restore version 1" }).click();
  await dialog.getByRole("button", { name: "Save" }).click();
  await history.getByText("Version 4").getByText("in force").waitFor();
  // Secret and all: a version comes back as it was uploaded.
  assert.deepEqual(await platform.call("GET", at), first);
  assert.deepEqual(wrong, []);
  await context.close();
});

const SECRET = "nobody reads this again";
/** @param {object} secrets */
const connected = (secrets = {}) => JSON.stringify({
  connection: {
    access: { kind: "user_access", username: "EXAMPLE\\svc-mail", ...secrets },
    application: { kind: "ntlm" },
    ews_endpoint: "https://mail.example.com/EWS/Exchange.asmx",
  },
  mailboxes: [{ email: "claims@example.com", enabled: true, bucket_specification: { project_name: "acme", name: "desks" } }],
}, null, 2);

test("an integration takes a secret and never shows it again", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  /** @type {string[]} */
  const answers = [];
  page.on("response", async (response) => {
    if (response.url().includes("/api/")) answers.push(await response.text().catch(() => ""));
  });
  await page.goto(`${platform.url}/p/acme/integrations`);
  await page.getByText("Describe a connection").waitFor();
  await page.getByRole("button", { name: "New integration" }).first().click();
  await page.getByLabel("Name").fill("exchange");
  await page.getByLabel("Title").fill("Exchange in Hamburg");
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { level: 1, name: "Exchange in Hamburg" }).waitFor();
  await page.getByText("No mailboxes yet").waitFor();
  const secrets = page.locator("dl", { hasText: "Kept secrets" });
  await secrets.getByText("none").waitFor();
  const write = await editor(page, "Configuration of the integration");
  const save = page.getByRole("button", { name: "Save" });
  // The server's words name the field; what was typed stays to be mended.
  await write(connected().replace('"ntlm"', '"kerberos"'));
  await save.click();
  await page.getByRole("alert").getByText(/application\.kind/).waitFor();
  await page.locator(".cm-content").getByText("kerberos").waitFor();
  await write(connected({ password: SECRET }));
  await save.click();
  await secrets.getByText("password").waitFor();
  await page.getByText("claims@example.com").first().waitFor();
  assert.equal((await page.content()).includes(SECRET), false);
  await page.reload();
  await page.getByRole("textbox", { name: "Configuration of the integration" }).waitFor();
  assert.equal((await page.content()).includes(SECRET), false);
  // Saved without it, it is kept; with null, it is forgotten.
  await (await editor(page, "Configuration of the integration"))(connected().replace("claims@", "desk@"));
  await save.click();
  await page.getByText("desk@example.com").first().waitFor();
  assert.deepEqual(await serious(page), []);
  await secrets.getByText("password").waitFor();
  await (await editor(page, "Configuration of the integration"))(connected({ password: null }));
  await save.click();
  await secrets.getByText("none").waitFor();
  assert.ok(answers.length > 4, "no answer was looked at");
  assert.deepEqual(answers.filter((answer) => answer.includes(SECRET)), []);
  await page.goto(`${platform.url}/p/acme/integrations`);
  await page.getByRole("link", { name: /Exchange in Hamburg.*off.*1 mailbox/ }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("Describe a connection").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

const INTEGRATION = "api/_private/integrations/acme";
/** @param {string} name @param {object} integration */
const integrate = (name, integration = {}) =>
  platform.call("PUT", `${INTEGRATION}/${name}`, { integration: { enabled: false, configuration: JSON.parse(connected({ password: SECRET })), ...integration } });

test("whoever may only read an integration sees it, and is offered nothing that is refused", async () => {
  await integrate("read", { title: "To be read" });
  await integrate("bare", { configuration: { mailboxes: [] } });
  const { page, context, wrong } = await enteredAs(browser, platform, { username: "viewer", projects: { acme: ["role-cm-viewer"] } }, "/p/acme/integrations/read");
  const main = page.getByRole("main");
  const text = main.getByRole("textbox", { name: "Configuration of the integration" });
  await main.getByRole("heading", { level: 1, name: "To be read" }).waitFor();
  await main.locator("dl", { hasText: "State" }).getByText("off: switched off").waitFor();
  await text.getByText("claims@example.com").waitFor();
  await main.getByText("Secrets are kept, and not shown.").waitFor();
  assert.equal(await text.getAttribute("aria-readonly"), "true");
  await text.click();
  await page.keyboard.insertText("nothing that counts");
  assert.doesNotMatch(await text.innerText(), /nothing that counts/);
  assert.deepEqual(await main.getByRole("button").allInnerTexts(), []);
  assert.equal(await main.getByRole("switch").count(), 0);
  assert.deepEqual(await serious(page), []);
  await main.getByRole("link", { name: "For an appliance" }).waitFor();
  // One that no appliance can do yet is no file; the reason is told where the file would be.
  await page.goto(`${platform.url}/p/acme/integrations/bare`);
  const cannot = main.getByRole("button", { name: "For an appliance" });
  await cannot.and(page.locator("[aria-describedby=cannot]")).waitFor();
  assert.equal(await cannot.isDisabled(), true);
  await main.getByText("Nothing for an appliance yet: `configuration.connection`: the integration has none").waitFor();
  await page.goto(`${platform.url}/p/acme/integrations`);
  await main.getByRole("link", { name: /To be read/ }).waitFor();
  assert.equal(await main.getByRole("button").count(), 0);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("whoever may change an integration by a role can, though the role is known later than the text", async () => {
  await integrate("late");
  const { page, context, wrong } = await enteredAs(browser, platform, { username: "developer", projects: { acme: ["role-cm-developer"] } }, "/account");
  /** @type {() => void} */
  let go = () => undefined;
  const held = new Promise((resolve) => go = () => resolve(undefined));
  await page.route("**/api/_private/roles", async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(`${platform.url}/p/acme/integrations/late`);
  const text = page.getByRole("textbox", { name: "Configuration of the integration" });
  await text.getByText("claims@example.com").waitFor();
  assert.equal(await text.getAttribute("aria-readonly"), "true");
  go();
  await page.getByRole("button", { name: "Delete" }).waitFor();
  await (await editor(page, "Configuration of the integration"))(connected().replace("claims@", "desk@"));
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("listitem").getByText("desk@example.com").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("what is being written to an integration outlives its switch, and does not undo what somebody else saved", async () => {
  await integrate("shared");
  const { page, context, wrong } = await entered(browser, platform);
  // The page looks every ten seconds for what has changed.
  await page.clock.install();
  await page.goto(`${platform.url}/p/acme/integrations/shared`);
  const text = page.getByRole("textbox", { name: "Configuration of the integration" });
  const save = page.getByRole("button", { name: "Save" });
  const box = (/** @type {string} */ name) => page.getByRole("listitem").getByText(`${name}@example.com`);
  const write = await editor(page, "Configuration of the integration");
  assert.equal(await save.isDisabled(), true);
  await write(connected({ password: SECRET }).replace("claims@", "mine@"));
  await page.getByRole("switch", { name: "off: switched off" }).click();
  await page.getByText("on", { exact: true }).waitFor();
  await text.getByText("mine@example.com").waitFor();
  await save.click();
  await box("mine").waitFor();
  assert.equal(await save.isDisabled(), true);
  // Going back does not bring the secret that was taken.
  await text.click();
  await page.keyboard.press("Control+z");
  assert.match(await text.innerText(), /mine@example\.com/);
  assert.equal((await page.content()).includes(SECRET), false);
  await write(connected().replace("claims@", "lost@"));
  const { integration } = await platform.call("POST", `${INTEGRATION}/shared`, { integration: { configuration: JSON.parse(connected().replace("claims@", "theirs@")) } });
  await page.clock.fastForward(11_000);
  await box("theirs").waitFor();
  await text.getByText("lost@example.com").waitFor();
  await save.click();
  await page.getByRole("alert", { name: "Somebody was faster" }).getByText("read it again").waitFor();
  await text.getByText("lost@example.com").waitFor();
  assert.equal((await platform.call("GET", `${INTEGRATION}/shared`)).integration.updated_at, integration.updated_at);
  await page.getByRole("button", { name: "Undo" }).click();
  await text.getByText("theirs@example.com").waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.equal(await save.isDisabled(), true);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("whoever may only read configurations compares versions, and restores none", async () => {
  const at = "api/v1/appliance-configs/acme/looked-at";
  for (const changes of [{}, { poll_frequency: 30 }]) await platform.call("PUT", at, written(changes));
  const { page, context, wrong } = await enteredAs(browser, platform, { username: "auditor", projects: { acme: ["appliance-config-read"] } }, "/p/acme/configurations/looked-at");
  const text = page.getByRole("textbox", { name: "Configuration looked-at" });
  const history = page.getByRole("region", { name: "History" });
  await history.getByRole("button", { name: "Compare with version 1" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.locator(".cm-changedLine").first().waitFor();
  await dialog.getByRole("button", { name: "Close" }).last().click();
  await dialog.waitFor({ state: "detached" });
  assert.equal(await text.getAttribute("aria-readonly"), "true");
  const offered = await page.getByRole("main").getByRole("button").allInnerTexts();
  assert.deepEqual(offered.filter((name) => name !== "Copy"), ["Compare"]);
  await page.goto(`${platform.url}/p/acme/configurations/never`);
  await page.getByText("There is no such configuration").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("a mail that nobody sends yet is held, read, and dropped", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  await page.goto(`${platform.url}/outbox`);
  await page.getByText("Nothing waits").waitFor();
  const at = "api/v1/appliance-configs/acme/watched";
  await platform.call("PUT", at, written({ audit_email: "audit@example.com" }));
  await platform.call("PUT", at, written({ audit_email: "audit@example.com", auth_password: "battery staple" }));
  await page.reload();
  await page.getByText("No mail server is configured").waitFor();
  const rows = page.getByRole("button", { name: /to audit@example.com/ });
  await rows.first().waitFor();
  const held = await rows.count();
  await rows.first().click();
  // It names what changed, and no value.
  await page.getByText(/admin changed the configuration acme\/watched[^]*- auth_password/).waitFor();
  assert.equal((await page.content()).includes("battery staple"), false);
  await page.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await page.waitForFunction((before) => document.querySelectorAll("ul.rows > li").length === before - 1, held);
  const { mails } = await platform.call("GET", "api/_private/mail-outbox");
  assert.equal(mails.length, held - 1);
  assert.deepEqual(wrong, []);
  await context.close();
});
