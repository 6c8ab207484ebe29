/// Everything can be done without a pointer.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./harness/browser.js";
import { fill } from "./harness/data.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

/** @type {import("./harness/server.js").Platform} */
let platform;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  [platform, browser] = await Promise.all([start(), launch()]);
  await fill(platform, 20);
});
after(async () => {
  await browser.close();
  await platform.stop();
});

test("a bucket is made, found and left by keys alone", async () => {
  const { page, context, wrong } = await entered(browser, platform, { reducedMotion: "reduce" });
  const heading = (/** @type {string} */ name) => page.getByRole("heading", { level: 1, name, exact: true });
  const focus = () => page.evaluate(() => document.activeElement?.textContent ?? "");
  await page.goto(`${platform.url}/p/acme`);
  await heading("Acme Insurance").waitFor();
  // The first stop leads past the navigation.
  await page.keyboard.press("Tab");
  assert.equal(await focus(), "Skip to the content");
  await page.keyboard.press("Enter");
  for (let stops = 0; (await focus()) !== "New bucket"; stops += 1) {
    assert.ok(stops < 12, "the button is not reached");
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.type("by-keys");
  await page.keyboard.press("Enter");
  await heading("by-keys").waitFor();
  // A reader of the screen is told the new page.
  await page.waitForFunction(() => document.activeElement?.tagName === "H1");
  await page.keyboard.press("Control+k");
  await page.getByPlaceholder("Search mail, or go to…").waitFor();
  await page.keyboard.type("audit");
  await page.getByRole("button", { name: "Audit log" }).or(page.getByRole("option", { name: "Audit log" })).first().waitFor();
  for (let steps = 0; (await page.locator("[data-selected]").allInnerTexts()).join() !== "Audit log"; steps += 1) {
    assert.ok(steps < 5, "the page is not among the first results");
    await page.keyboard.press("ArrowDown");
  }
  await page.keyboard.press("Enter");
  await heading("Audit log").waitFor();
  await page.getByText("Create bucket").first().waitFor();
  await page.goBack();
  await heading("by-keys").waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});
