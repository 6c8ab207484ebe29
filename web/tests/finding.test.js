/// What people look for: each filter of the search, its numbers, and the ways to it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./harness/browser.js";
import { rfc5322 } from "./harness/data.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

/** @type {import("./harness/server.js").Platform} */
let platform;
/** @type {import("playwright-core").Browser} */
let browser;
/** Id of the source `acme/letters`. */
let letters = "";

/** @param {string} id @param {string} timestamp @param {string} from @param {string} folder */
const comment = (id, timestamp, from, folder, more = {}) => ({
  id, timestamp, messages: [{ from, subject: { text: id }, body: { text: `About ${id.replace(/\d/g, "")}` } }], user_properties: { "string:Folder": folder }, ...more,
});

before(async () => {
  [platform, browser] = await Promise.all([start(), launch()]);
  for (const project of ["acme", "other"]) {
    await platform.call("PUT", `api/_private/projects/${project}`, { project: {} });
    const made = await platform.call("PUT", `api/v1/sources/${project}/letters`, { source: { title: `Letters of ${project}` } });
    if (project === "acme") letters = made.source.id;
  }
  await platform.call("POST", "api/v1/sources/acme/letters/sync", { comments: [
    comment("alpha", "2026-01-10T12:00:00Z", "ann@alpha.example", "Inbox", { attachments: [{ name: "a.pdf", size: 1, content_type: ".pdf" }] }),
    // The last minute of a day.
    comment("beta", "2026-01-12T23:59:00Z", "bob@beta.example", "Sent"),
  ] });
  // All in one week, and more than a page of them.
  const crates = Array.from({ length: 22 }, (_, number) => comment(`crate${number}`, `2026-02-10T10:00:${number + 10}Z`, "eve@crates.example", "Crates"));
  await platform.call("POST", "api/v1/sources/other/letters/sync", { comments: [comment("gamma", "2026-01-20T12:00:00Z", "ann@alpha.example", "Inbox"), ...crates] });
});
after(async () => {
  await browser.close();
  await platform.stop();
});

/** Waits until these are found, and no others. @param {import("playwright-core").Page} page @param {string[]} titles */
const found = (page, titles) => page.waitForFunction((wanted) => {
  const list = document.querySelector("[data-testid=results]");
  return list?.getAttribute("aria-busy") === "false" && [...list.querySelectorAll("h3")].map((one) => one.textContent).join() === wanted;
}, titles.join());

test("each filter narrows what is found, and is in the address", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  for (const [query, titles] of /** @type {[string, string[]][]} */ ([
    ["project=acme", ["beta", "alpha"]], [`source=${letters}`, ["beta", "alpha"]], ["from=alpha.example", ["gamma", "alpha"]], ["folder=Inbox", ["gamma", "alpha"]],
    ["after=2026-01-12&before=2026-01-20", ["gamma", "beta"]], ["before=2026-01-12", ["beta", "alpha"]], ["attachments=true", ["alpha"]], ["q=about&from=beta.example", ["beta"]],
  ])) {
    await page.goto(`${platform.url}/search?${query}`);
    await found(page, titles);
  }
  const chosen = () => new URL(page.url()).search;
  await page.getByLabel("Project").selectOption("acme");
  await page.getByLabel("Source").selectOption({ label: "Letters of acme" });
  assert.equal(chosen(), `?q=about&from=beta.example&project=acme&source=${letters}`);
  // A source of one project is none of another.
  await page.getByLabel("Project").selectOption("other");
  assert.equal(chosen(), "?q=about&from=beta.example&project=other");
  await page.getByText("Nothing found").waitFor();
  await page.getByRole("button", { name: "Remove all filters" }).click();
  assert.equal(chosen(), "?q=about");
  assert.deepEqual(wrong, []);
  await context.close();
});

test("more than a page is shown on demand, and the chart counts what is found", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  await page.goto(`${platform.url}/search?from=crates.example`);
  await page.getByRole("status").getByText("22 messages").waitFor();
  const titles = page.getByTestId("results").getByRole("heading", { level: 3 });
  await titles.nth(19).waitFor();
  assert.equal(await titles.count(), 20);
  await page.getByRole("button", { name: "Show more" }).click();
  await titles.nth(21).waitFor();
  assert.equal(new Set(await titles.allInnerTexts()).size, 22);
  const chart = page.getByRole("region", { name: "Over time" });
  await chart.getByRole("img", { name: "22 messages in 1 span of time" }).waitFor();
  assert.deepEqual(await chart.locator("td").allInnerTexts(), ["22"]);
  assert.deepEqual(wrong, []);
  await context.close();
});

test("a slash leads to everything, and a search from there stays in the project", async () => {
  const { page, context, wrong } = await entered(browser, platform, { colorScheme: "light" });
  await platform.call("PUT", "api/_private/buckets/acme/desks", { bucket: { bucket_type: "emails", title: "Service desks" } });
  await page.goto(`${platform.url}/p/acme`);
  await page.getByRole("link", { name: /Service desks/ }).waitFor();
  const field = page.getByPlaceholder("Search mail, or go to…");
  await page.keyboard.press("/");
  await field.fill("about");
  await page.getByText("Search mail for “about”").click();
  await found(page, ["beta", "alpha"]);
  await page.goto(`${platform.url}/p/acme`);
  await page.getByRole("link", { name: /Service desks/ }).waitFor();
  await page.keyboard.press("/");
  await field.fill("desks");
  await page.getByRole("dialog").getByText("acme/desks").click();
  await page.getByRole("heading", { level: 1, name: "Service desks" }).waitFor();
  await page.getByRole("button", { name: "Use dark colors" }).click();
  await page.reload();
  await page.getByRole("button", { name: "Use light colors" }).waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});

test("charts count the mail of the time that is chosen, and a bucket goes when somebody is sure", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  const DAY = 86_400_000;
  const mail = (/** @type {number} */ number, /** @type {number} */ days) => {
    const at = new Date(Date.now() - days * DAY);
    const [from, to] = /** @type {[[string, string], [string, string]]} */ ([["Ann", "ann@alpha.example"], ["Desk", "desk@example.com"]]);
    const mime = rfc5322({ id: `<${number}@alpha.example>`, from, to, subject: `Mail ${number}`, text: "Hello", at });
    return { id: `<${number}@alpha.example>`, mailbox: to[1], timestamp: at.toISOString(), mime_content: mime, metadata: { folder: ["Inbox"] }, attachments: [] };
  };
  for (const [bucket, emails] of /** @type {const} */ ([["one", [mail(1, 2), mail(2, 2), mail(3, 40)]], ["two", [mail(4, 2)]]])) {
    await platform.call("PUT", `api/_private/buckets/acme/${bucket}`, { bucket: { bucket_type: "emails" } });
    await platform.call("PUT", `api/_private/buckets/acme/${bucket}/emails`, { emails });
  }
  await page.goto(`${platform.url}/p/acme`);
  const chart = page.getByRole("region", { name: "Volume over time" });
  await chart.getByRole("img", { name: /^4 emails in/ }).waitFor();
  await page.goto(`${platform.url}/p/acme/buckets/one`);
  await chart.getByRole("img", { name: /^3 emails in/ }).waitFor();
  await chart.getByText("30 days", { exact: true }).click();
  await chart.getByRole("img", { name: /^2 emails in/ }).waitFor();
  assert.deepEqual(await chart.locator("td").allInnerTexts(), ["2"]);
  await page.getByRole("button", { name: "Delete" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "hidden" });
  await platform.call("GET", "api/_private/buckets/acme/one");
  await page.getByRole("button", { name: "Delete" }).click();
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("link", { name: /two/ }).waitFor();
  await assert.rejects(platform.call("GET", "api/_private/buckets/acme/one"), /404/);
  assert.deepEqual(wrong, []);
  await context.close();
});
