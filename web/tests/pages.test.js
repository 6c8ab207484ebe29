/// Every page, by day and by night and on a phone: nothing serious for axe, nothing wider than the screen, and
/// nothing that the policy of the page had to stop.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { launch } from "./harness/browser.js";
import { fill } from "./harness/data.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Address and the heading that is there when the page is. @type {[string, string][]} */
const PAGES = [
  ["/", "Projects"], ["/p/acme", "Acme Insurance"], ["/p/acme/buckets/service-desks", "Service desks"], ["/p/acme/buckets/archive", "Archive 2025"],
  ["/p/acme/sources", "Sources"], ["/p/acme/sources/desks", "Service desks"], ["/p/acme/integrations", "Integrations"], ["/p/acme/configurations", "Configurations"],
  ["/p/acme/configurations/hamburg", "hamburg"], ["/p/acme/configurations/new", "new"], ["/p/acme/people", "People"], ["/search?q=invoice", "Search"], ["/users", "Users"],
  ["/audit", "Audit log"], ["/quotas", "Quotas"], ["/outbox", "Mail outbox"], ["/account", "Your account"], ["/sign-in", "Sign in"], ["/link#nonsense", "Welcome"],
];

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

/** @param {import("playwright-core").Page} page */
async function serious(page) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    // @ts-expect-error axe has just been put in
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return violations;
  });
  return found
    .filter((/** @type {{impact: string}} */ one) => ["serious", "critical"].includes(one.impact))
    .map((/** @type {{id: string, nodes: {html: string, failureSummary: string}[]}} */ one) => `${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join("\n  ")}`);
}

/**
 * @param {import("playwright-core").Page} page
 * @param {string} at
 * @param {string} title
 */
async function visit(page, at, title) {
  const open = at.startsWith("/sign-in") || at.startsWith("/link");
  await page.goto(platform.url + at);
  // Somebody who is signed in is sent on from the sign-in.
  if (!(open && at.startsWith("/sign-in"))) await page.getByRole("heading", { level: 1, name: title, exact: true }).waitFor();
  await page.waitForFunction(() => document.querySelector("[aria-busy=true]") === null && document.querySelector(".mantine-Loader-root") === null);
}

// Beside each other: most of the time goes to drawing and to axe, in processes of their own.
describe("every page", { concurrency: true }, () => {
  for (const some of [PAGES.filter((_, place) => place % 2 === 0), PAGES.filter((_, place) => place % 2 === 1)]) {
    test(`has no serious finding of axe by day and by night: ${some.length} of them`, async () => {
      const { page, context, wrong } = await entered(browser, platform, { colorScheme: "light", reducedMotion: "reduce" });
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
  for (const [at, title] of PAGES) {
    await visit(page, at, title);
    const wide = await page.evaluate(() => {
      const own = (/** @type {Element} */ element) => `${element.tagName.toLowerCase()}.${element.className}`;
      if (document.documentElement.scrollWidth <= innerWidth) return [];
      return [...document.querySelectorAll("main *")].filter((element) => element.getBoundingClientRect().right > innerWidth + 1).map(own);
    });
    assert.deepEqual(wide, [], at);
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
