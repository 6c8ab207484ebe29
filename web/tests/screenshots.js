/// Pictures for the guide: `npm run screenshots`.

import { launch } from "./harness/browser.js";
import { fill } from "./harness/data.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

/** @typedef {import("playwright-core").Page} Page */
/** @type {{name: string, at: string, colorScheme?: "dark", height?: number, go?: (page: Page) => Promise<void>}[]} */
const PICTURES = [
  { name: "project", at: "/p/acme" },
  { name: "bucket", at: "/p/acme/buckets/service-desks" },
  { name: "search", at: "/search?q=claim+OR+invoice&group=thread", height: 1000 },
  {
    name: "thread", at: "/search?q=premium&group=thread",
    go: async (page) => {
      await page.getByTestId("results").getByText(/[34] messages/).first().click();
      await page.getByText(/ of 2 people/).waitFor();
      await page.getByRole("article").waitFor();
    },
  },
  {
    name: "configuration", at: "/p/acme/configurations/hamburg", colorScheme: "dark",
    go: async (page) => {
      await page.getByRole("button", { name: "Restore version 1" }).click();
      await page.getByRole("dialog").locator(".cm-changedLine").waitFor();
    },
  },
];

const platform = await start();
try {
  await fill(platform);
  const browser = await launch();
  for (const { name, at, colorScheme = "light", height = 860, go } of PICTURES) {
    const { page, context } = await entered(browser, platform, { reducedMotion: "reduce", colorScheme, viewport: { width: 1280, height } });
    await page.goto(platform.url + at, { waitUntil: "load" });
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.waitForFunction(() => document.querySelector("[aria-busy=true]") === null);
    await go?.(page);
    await page.waitForTimeout(1_500);
    await page.screenshot({ path: new URL(`../../docs/guides/images/${name}.png`, import.meta.url).pathname });
    await context.close();
  }
  await browser.close();
} finally {
  await platform.stop();
}
