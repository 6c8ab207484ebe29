/// Every page, by day and by night and on a phone: nothing serious for axe, nothing wider than the screen, and
/// nothing that the policy of the page had to stop.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { serious } from "./harness/axe.js";
import { launch, open } from "./harness/browser.js";
import { fill } from "./harness/data.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

/** Address and the heading that is there when the page is. @type {[string, string][]} */
const PAGES = [
  ["/", "Projects"], ["/p/acme", "Acme Insurance"], ["/p/acme/buckets/service-desks", "Service desks"], ["/p/acme/buckets/archive", "Archive 2025"],
  ["/p/acme/sources", "Sources"], ["/p/acme/sources/desks", "Service desks"], ["/p/acme/integrations", "Integrations"], ["/p/acme/configurations", "Configurations"],
  ["/p/acme/configurations/hamburg", "hamburg"], ["/p/acme/configurations/new", "new"], ["/p/acme/people", "People"], ["/search?q=invoice", "Search"], ["/users", "Users"],
  ["/audit", "Audit log"], ["/quotas", "Quotas"], ["/outbox", "Mail outbox"], ["/account", "Your account"],
];
/** Seen without being signed in; whoever is signed in is sent on. @type {[string, string][]} */
const DOORS = [["/sign-in", "Sign in"], ["/link#nonsense", "Welcome"]];

/** @type {import("./harness/server.js").Platform} */
let platform;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  [platform, browser] = await Promise.all([start("--base-path", "/mail"), launch()]);
  await fill(platform, 60);
});
after(async () => {
  await browser.close();
  await platform.stop();
});

/**
 * @param {import("playwright-core").Page} page
 * @param {string} at
 * @param {string} title
 */
async function visit(page, at, title) {
  await page.goto(platform.url + at);
  await page.getByRole("heading", { level: 1, name: title, exact: true }).waitFor();
  await page.waitForFunction(() => document.querySelector("[aria-busy=true]") === null && document.querySelector(".mantine-Loader-root") === null);
}

/**
 * What stands out at the right. The window of a phone grows with what is in it; the page itself does not.
 * @param {import("playwright-core").Page} page
 */
const wide = (page) => page.evaluate(() => {
  const { clientWidth: width, scrollWidth } = document.documentElement;
  if (scrollWidth <= width) return [];
  const found = [...document.querySelectorAll("main *")].filter((element) => element.getBoundingClientRect().right > width + 1);
  return [`${scrollWidth} in place of ${width}`, ...found.map((element) => `${element.tagName.toLowerCase()}.${element.className}`)];
});

// Beside each other: most of the time goes to drawing and to axe, in processes of their own.
describe("every page", { concurrency: true }, () => {
  const half = Math.ceil(PAGES.length / 2);
  for (const some of [PAGES.slice(0, half), PAGES.slice(half), DOORS]) {
    test(`from ${some[0]?.[1]} to ${some.at(-1)?.[1]} has no serious finding of axe by day and by night`, async () => {
      /** @type {import("playwright-core").BrowserContextOptions} */
      const options = { colorScheme: "light", reducedMotion: "reduce" };
      const { page, context, wrong } = await (some === DOORS ? open(browser, options) : entered(browser, platform, options));
      const found = [];
      for (const [at, title] of some) {
        await visit(page, at, title);
        for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
          await page.emulateMedia({ colorScheme });
          await page.waitForFunction((scheme) => document.documentElement.dataset["mantineColorScheme"] === scheme, colorScheme);
          for (const finding of await serious(page)) found.push(`${at}, ${colorScheme}: ${finding}`);
        }
        await page.emulateMedia({ colorScheme: "light" });
      }
      assert.deepEqual(found, []);
      assert.deepEqual(wrong, []);
      await context.close();
    });
  }
});

test("no page is wider than a phone", async () => {
  const { page, context, wrong } = await entered(browser, platform, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, reducedMotion: "reduce" });
  for (const [at, title] of [...PAGES, ...DOORS]) {
    // The sign-in knows whom to send on only by the cookie.
    const cookies = at === "/sign-in" ? await context.cookies() : [];
    if (at === "/sign-in") await context.clearCookies();
    await visit(page, at, title);
    await context.addCookies(cookies);
    assert.deepEqual(await wide(page), [], at);
  }
  await page.goto(`${platform.url}/p/acme`);
  await page.getByRole("button", { name: "Open the menu" }).click();
  await page.getByRole("dialog").getByRole("link", { name: "Configurations" }).click();
  await page.getByRole("heading", { level: 1, name: "Configurations" }).waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("dialogs, the command palette and opened rows are accessible too", async () => {
  const { page, context, wrong } = await entered(browser, platform, { reducedMotion: "reduce" });
  await visit(page, "/p/acme", "Acme Insurance");
  await page.getByRole("button", { name: "New bucket" }).click();
  await page.getByLabel("Title").waitFor();
  assert.deepEqual(await serious(page), []);
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Search mail, or go to…").fill("acme");
  await page.getByText("Search mail for").first().waitFor();
  assert.deepEqual(await serious(page), []);
  await page.keyboard.press("Escape");
  await visit(page, "/p/acme/buckets/service-desks", "Service desks");
  await page.getByRole("button", { name: /claims@example.com/ }).click();
  await page.getByText("Inbox / Claims", { exact: true }).waitFor();
  assert.deepEqual(await serious(page), []);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("names, titles and descriptions of the greatest length fit on a small phone", async () => {
  const [name, title] = ["n".repeat(256), "t".repeat(128)];
  const { user } = await platform.call("GET", "auth/user");
  const text = "d".repeat(4096);
  await platform.call("PUT", `api/_private/projects/${name}`, { project: { title: "p".repeat(1024), description: text }, user_ids: [user.id] });
  const { bucket } = await platform.call("PUT", `api/_private/buckets/${name}/${name}`, { bucket: { bucket_type: "emails", title } });
  await platform.call("PUT", `api/v1/sources/${name}/${name}`, { source: { title, description: text.repeat(4), bucket_id: bucket.id, email_transform_tag: "generic.0.CONVKER5" } });
  const mailbox = { email: `${"m".repeat(308)}@example.com`, enabled: true, bucket_specification: { project_name: name, name } };
  await platform.call("PUT", `api/_private/integrations/${name}/${name}`, { integration: { title: title.repeat(2), enabled: false, configuration: { mailboxes: [mailbox] } } });
  const { page, context, wrong } = await entered(browser, platform, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, reducedMotion: "reduce" });
  const at = `/p/${name}`;
  for (const [path, heading] of /** @type {const} */ ([
    ["/", "Projects"], [at, "p".repeat(1024)], [`${at}/buckets/${name}`, title], [`${at}/sources`, "Sources"], [`${at}/sources/${name}`, title], [`${at}/integrations`, "Integrations"],
    [`${at}/integrations/${name}`, title.repeat(2)], [`${at}/configurations/${name}`, name], [`${at}/people`, "People"], [`/search?project=${name}`, "Search"], [`/users/${user.id}`, "admin"],
  ])) {
    await visit(page, path, heading);
    assert.deepEqual(await wide(page), [], path.replaceAll(name, "name"));
  }
  // Nothing is cut off at the right but whole lines at the end.
  await visit(page, "/", "Projects");
  assert.equal(await page.getByRole("main").getByText(text).evaluate((element) => element.scrollWidth <= element.clientWidth), true);
  // Much text is folded, and can be unfolded; a dialog holds the whole of it.
  await visit(page, `${at}/sources/${name}`, title);
  await page.getByRole("button", { name: "Show all" }).click();
  await page.getByRole("button", { name: "Show less" }).waitFor();
  assert.deepEqual(await wide(page), []);
  for (const button of ["Settings", "Delete"]) {
    await page.getByRole("button", { name: button }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Cancel" }).waitFor();
    const inside = await dialog.evaluate((element) => element.scrollWidth <= element.clientWidth);
    assert.deepEqual([inside, await wide(page)], [true, []], button);
    assert.deepEqual(await serious(page), []);
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
  }
  assert.deepEqual(wrong, []);
  await context.close();
});
