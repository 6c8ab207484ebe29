/// The ways in, and what is behind them for whom.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open } from "./harness/browser.js";
import { PASSWORD, signIn, redeem } from "./harness/enter.js";
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
  await signIn(page, "admin", "something else");
  await page.getByRole("alert").waitFor();
  await page.locator("input[name=password]").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  await page.goto(platform.link);
  await page.getByRole("alert").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("somebody invited to read finds the way back to where they wanted, and nothing to administer", async () => {
  await platform.call("PUT", "api/_private/projects/acme", { project: { title: "Acme Insurance" } });
  await platform.call("PUT", "api/_private/projects/secret", { project: { title: "Somebody else's" } });
  const { user } = await platform.call("PUT", "api/_private/users", {
    user: { username: "reader", email: "reader@example.com", organisation_permissions: { acme: ["buckets-read", "sources-read"] } },
  });
  const { link } = await platform.call("POST", `api/_private/users/${user.id}/link`, {});
  await redeem(link.url);
  const { page, context, wrong } = await open(browser);
  await page.goto(`${platform.url}/p/acme/sources`);
  await signIn(page, "reader@example.com");
  await page.getByRole("heading", { level: 1, name: "Sources" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/p/acme/sources");
  await page.getByRole("navigation", { name: "Signed in as" }).getByText("reader").waitFor();
  assert.equal(await page.getByRole("navigation", { name: "Administration" }).count(), 0);
  await page.getByRole("link", { name: "Projects" }).first().click();
  await page.getByRole("link", { name: /Acme Insurance/ }).waitFor();
  assert.equal(await page.getByText("Somebody else's").count(), 0);
  // What is asked for all the same is refused by the server, in its words.
  await page.goto(`${platform.url}/audit`);
  await page.getByRole("alert").getByText("audit-read").waitFor();
  // Another tab is signed out with this one.
  const other = await context.newPage();
  await other.goto(`${platform.url}/account`);
  await other.getByRole("button", { name: "Sign out" }).click();
  await other.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  await page.goto(`${platform.url}/p/acme`);
  await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("who came over a provider goes on to it when they sign out, and is told so when they come back", async () => {
  const { page, context, wrong } = await open(browser);
  await page.goto(platform.url);
  await signIn(page, "admin");
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  await page.goto(`${platform.url}/account`);
  // The server ends the session; where to go on is what it would say of somebody from a provider.
  const provider = `${platform.url}/sign-in?signed_out=oidc&of=the+provider`;
  await page.route("**/auth/sign-out", async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    assert.equal(body.continue_at, null);
    await route.fulfill({ response, json: { ...body, continue_at: provider } });
  });
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("status").getByText("You are signed out here.").waitFor();
  assert.equal(page.url(), provider);
  // Nothing of the account is left to go back to.
  await page.goBack();
  await page.waitForURL(`${platform.url}/sign-in`);
  await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});
