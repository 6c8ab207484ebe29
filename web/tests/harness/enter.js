/// How a test gets in: the way people do, with a password.

import { open } from "./browser.js";

export const PASSWORD = "seven herons wade upstream";

/** Sets the password that a one-time link asks for, without a browser. @param {string} link */
export async function redeem(link, password = PASSWORD) {
  const [page = "", secret] = link.split("#");
  const answer = await fetch(page.replace(/\/link$/, "/auth/link"), {
    method: "POST", headers: { "content-type": "application/json", "x-tributary-csrf": "1" }, body: JSON.stringify({ link: secret, password }),
  });
  if (!answer.ok) throw new Error(`${page}: ${answer.status} ${await answer.text()}`);
}

/**
 * Fills in the page that one is at.
 * @param {import("playwright-core").Page} page
 * @param {string} username
 */
export async function signIn(page, username, password = PASSWORD) {
  await page.getByRole("heading", { level: 1, name: "Sign in" }).waitFor();
  await page.locator("input[name=username]").fill(username);
  await page.locator("input[name=password]").fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
}

/** Sessions of first administrators. @type {WeakMap<object, Promise<import("playwright-core").BrowserContextOptions["storageState"]>>} */
const sessions = new WeakMap();

/**
 * @param {import("playwright-core").Browser} browser
 * @param {import("./server.js").Platform} platform
 */
async function session(browser, platform) {
  await redeem(platform.link);
  const { page, context } = await open(browser);
  await page.goto(`${platform.url}/sign-in`);
  await signIn(page, "admin");
  await page.getByRole("heading", { level: 1, name: "Projects" }).waitFor();
  const state = await context.storageState();
  await context.close();
  return state;
}

/**
 * A page of the first administrator, who has signed in once for all tests of a platform.
 * @param {import("playwright-core").Browser} browser
 * @param {import("./server.js").Platform} platform
 * @param {import("playwright-core").BrowserContextOptions} options
 */
export async function entered(browser, platform, options = {}) {
  const made = sessions.get(platform) ?? session(browser, platform);
  sessions.set(platform, made);
  return open(browser, { ...options, storageState: await made });
}

/**
 * A page of somebody new, who may do this much, at an address.
 * @param {import("playwright-core").Browser} browser
 * @param {import("./server.js").Platform} platform
 * @param {{username: string, everywhere?: string[], projects?: Record<string, string[]>}} who
 * @param {string} at
 */
export async function enteredAs(browser, platform, { username, everywhere = [], projects = {} }, at) {
  const { user } = await platform.call("PUT", "api/_private/users", { user: { username, email: `${username}@example.com`, global_permissions: everywhere, organisation_permissions: projects } });
  await redeem((await platform.call("POST", `api/_private/users/${user.id}/link`, {})).link.url);
  const opened = await open(browser);
  await opened.page.goto(platform.url + at);
  await signIn(opened.page, username);
  await opened.page.getByRole("navigation", { name: "Signed in as" }).getByText(username).waitFor();
  return opened;
}
