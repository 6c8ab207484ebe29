/// Pictures for the guide: `npm run screenshots`.

import { launch } from "./harness/browser.js";
import { fill } from "./harness/data.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

const PAGES = { project: "/p/acme", bucket: "/p/acme/buckets/service-desks", search: "/search?q=invoice" };

const platform = await start();
try {
  await fill(platform);
  const browser = await launch();
  const { page } = await entered(browser, platform, { reducedMotion: "reduce" });
  for (const [name, at] of Object.entries(PAGES)) {
    await page.goto(platform.url + at, { waitUntil: "load" });
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.waitForFunction(() => document.querySelector("[aria-busy=true]") === null);
    await page.waitForTimeout(1_500);
    await page.screenshot({ path: new URL(`../../docs/guides/images/${name}.png`, import.meta.url).pathname });
  }
  await browser.close();
} finally {
  await platform.stop();
}
