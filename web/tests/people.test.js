/// Who comes in, with what, and what is written down about it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { serious } from "./harness/axe.js";
import { launch, open } from "./harness/browser.js";
import { entered, enteredAs, redeem, signIn } from "./harness/enter.js";
import { start } from "./harness/server.js";

/** @type {import("./harness/server.js").Platform} */
let platform;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  [platform, browser] = await Promise.all([start(), launch()]);
  for (const project of ["acme", "other"]) await platform.call("PUT", `api/_private/projects/${project}`, { project: {} });
});
after(async () => {
  await browser.close();
  await platform.stop();
});

/** @param {string} username */
const user = async (username) => (await platform.call("GET", "api/_private/users")).users.find((/** @type {{username: string}} */ one) => one.username === username);

test("a user is invited, given roles, kept out and let in again", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  const dialog = page.getByRole("dialog");
  await page.goto(`${platform.url}/users`);
  await page.getByRole("button", { name: "New user" }).click();
  await page.getByLabel("Name").fill("ann");
  await page.getByLabel("Email address").fill("ann@example.com");
  await page.getByRole("button", { name: "Create, and make a link" }).click();
  const link = await page.getByLabel("Link", { exact: true }).innerText();
  await page.getByRole("link", { name: /ann@example.com/ }).click();
  await page.getByRole("heading", { level: 1, name: "ann" }).waitFor();
  for (const [label, role] of /** @type {const} */ ([["Permissions in acme", "Viewer"], ["Permissions everywhere", "Administrator"]])) {
    await page.getByLabel(label, { exact: true }).first().click();
    await page.getByRole("option", { name: role, exact: true }).click();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("button", { name: "Save" }).waitFor({ state: "detached" });
  }
  const given = await user("ann");
  assert.deepEqual([given.organisation_permissions, given.global_permissions], [{ acme: ["role-cm-viewer"] }, ["role-cm-tenant-admin"]]);
  await page.getByRole("button", { name: "Disable" }).click();
  await dialog.getByRole("button", { name: "Disable" }).click();
  // The page says so by itself, and why there is no link for whoever is kept out.
  await dialog.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Enable" }).waitFor();
  assert.equal((await user("ann")).disabled, true);
  await page.getByRole("button", { name: "Make a sign-in link" }).click();
  await page.getByRole("alert").getByText("the user is disabled").waitFor();
  await page.getByRole("button", { name: "Enable" }).click();
  await dialog.getByRole("button", { name: "Enable" }).click();
  await dialog.waitFor({ state: "hidden" });
  await page.getByRole("button", { name: "Disable" }).waitFor();
  await page.getByRole("button", { name: "Make a sign-in link" }).click();
  await redeem(await page.getByLabel("Link", { exact: true }).innerText());
  await assert.rejects(redeem(link), /404/);
  const theirs = await open(browser);
  await theirs.page.goto(`${platform.url}/p/acme`);
  await signIn(theirs.page, "ann");
  await theirs.page.getByRole("heading", { level: 1, name: "acme" }).waitFor();
  await page.getByRole("button", { name: "Sign out everywhere" }).click();
  await dialog.getByRole("button", { name: "Sign out everywhere" }).click();
  await dialog.waitFor({ state: "hidden" });
  await theirs.page.goto(`${platform.url}/p/acme`);
  await theirs.page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  await theirs.context.close();
  assert.deepEqual(await serious(page), []);
  // Nobody keeps themselves out.
  const { user: me } = await platform.call("GET", "auth/user");
  await page.goto(`${platform.url}/users/${me.id}`);
  await page.getByRole("button", { name: "Make a sign-in link" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Disable" }).count(), 0);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("a token is worth what was chosen, until it is revoked", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  await page.goto(`${platform.url}/account`);
  await page.getByRole("button", { name: "New token" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("What is it for?").fill("appliance");
  await dialog.getByLabel("Where").selectOption("acme");
  await dialog.getByLabel("What for", { exact: true }).first().click();
  await page.getByRole("option", { name: "buckets-read", exact: true }).click();
  await dialog.getByLabel("What is it for?").click();
  await dialog.getByLabel("How long").selectOption("7");
  await dialog.getByRole("button", { name: "Create" }).click();
  const text = await page.getByLabel("Token", { exact: true }).innerText();
  const ask = async (/** @type {string} */ path) => (await fetch(`${platform.url}/${path}`, { headers: { authorization: `Bearer ${text}` } })).status;
  assert.deepEqual(await Promise.all(["api/_private/buckets/acme", "api/v1/sources/acme", "api/_private/buckets/other"].map(ask)), [200, 403, 404]);
  // A week from now, by the day.
  const row = page.getByRole("listitem").filter({ hasText: "appliance" });
  const until = new Intl.DateTimeFormat("en", { dateStyle: "medium" }).format(Date.now() + 7 * 86_400_000);
  assert.match(await row.innerText(), new RegExp(`until ${until}`));
  await row.getByRole("button", { name: "Revoke" }).click();
  await dialog.getByRole("button", { name: "Revoke" }).click();
  await row.getByText("revoked", { exact: true }).waitFor();
  assert.equal(await ask("api/_private/buckets/acme"), 401);
  await page.getByRole("button", { name: "Change password" }).click();
  await dialog.locator("input[name=current]").fill("seven herons wade upstream");
  await dialog.locator("input[name=new]").fill("a new password to keep");
  await dialog.locator("input[name=again]").fill("a new password to kept");
  await dialog.getByRole("button", { name: "Change", exact: true }).click();
  await dialog.getByRole("alert").getByText("not the same").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("a quota is changed where it is shown, and the audit log has it on its day", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  await page.goto(`${platform.url}/quotas`);
  const row = page.getByRole("listitem").filter({ hasText: "Projects" });
  await row.getByText("2 of 10,000").waitFor();
  await row.getByRole("button", { name: "Change" }).click();
  await page.getByLabel("Most there may be").fill("1,234");
  await page.getByRole("button", { name: "Save" }).click();
  await row.getByText("2 of 1,234").waitFor();
  await page.goto(`${platform.url}/audit`);
  await page.getByText("Update quota").waitFor();
  const day = (/** @type {number} */ days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  const nothing = page.getByText("Nothing happened in this time");
  await page.getByLabel("From").fill(day(1));
  await nothing.waitFor();
  await page.getByLabel("From").fill("");
  await page.getByLabel("Until").fill(day(-1));
  await nothing.waitFor();
  // The last day counts.
  await page.getByLabel("Until").fill(day(0));
  await page.getByText("Update quota").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("nobody is led to what they may not see, or offered to change what they may not", async () => {
  const goals = (/** @type {import("playwright-core").Page} */ page, /** @type {string} */ name) => page.getByRole("navigation", { name, exact: true }).getByRole("link");
  const root = await user("admin");
  const viewer = await enteredAs(browser, platform, { username: "viewer", projects: { acme: ["role-cm-viewer"], other: ["sources-read"] } }, "/p/acme/people");
  const main = viewer.page.getByRole("main");
  // Roles by their titles, and nothing to choose.
  await main.getByRole("list", { name: "Permissions of viewer" }).getByText("Viewer", { exact: true }).waitFor();
  assert.equal(await main.getByRole("button").or(main.getByRole("combobox")).count(), 0);
  assert.deepEqual(await goals(viewer.page, "acme").allInnerTexts(), ["Overview", "Sources", "Integrations", "People"]);
  await viewer.page.goto(`${platform.url}/p/other/sources`);
  await main.getByText("No sources yet").waitFor();
  assert.deepEqual(await goals(viewer.page, "other").allInnerTexts(), ["Overview", "Sources"]);
  // Somebody who may see everybody and the quotas, and change neither.
  const watcher = await enteredAs(browser, platform, { username: "watcher", everywhere: ["tenant-users-read", "tenant-quota-read"] }, `/users/${root.id}`);
  const shown = watcher.page.getByRole("main");
  await shown.getByRole("list", { name: "Permissions everywhere" }).getByText("root").waitFor();
  assert.equal(await shown.getByRole("button").or(shown.getByRole("combobox")).count(), 0);
  assert.deepEqual(await goals(watcher.page, "Administration").allInnerTexts(), ["Users", "Quotas"]);
  await watcher.page.goto(`${platform.url}/quotas`);
  await shown.getByRole("progressbar", { name: "Projects: used" }).waitFor();
  assert.equal(await shown.getByRole("button").count(), 0);
  // An administrator by a role changes users, and not whoever may do everything.
  const lead = await enteredAs(browser, platform, { username: "lead", everywhere: ["role-cm-tenant-admin"] }, `/users/${root.id}`);
  await lead.page.getByRole("combobox", { name: "Permissions everywhere" }).waitFor();
  assert.equal(await lead.page.getByRole("button", { name: /link|Disable|Delete|Sign out/ }).count(), 0);
  assert.deepEqual(await goals(lead.page, "Administration").allInnerTexts(), ["Users", "Audit log", "Quotas", "Mail outbox"]);
  await lead.page.goto(`${platform.url}/users/${(await user("viewer")).id}`);
  await lead.page.getByRole("button", { name: "Disable" }).waitFor();
  // The same by a group of the provider that they came over, as the platform would say it.
  await viewer.page.route("**/auth/user", async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    await route.fulfill({ response, json: { ...body, user: { ...body.user, sso_global_permissions: ["role-cm-tenant-admin"] } } });
  });
  await viewer.page.reload();
  await goals(viewer.page, "Administration").getByText("Audit log").waitFor();
  for (const { wrong, context } of [viewer, watcher, lead]) {
    assert.deepEqual(wrong, []);
    await context.close();
  }
});
