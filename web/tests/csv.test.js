/// A CSV file into a source, as people do it: chosen, looked at, mapped, uploaded, corrected, uploaded again.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, test } from "node:test";
import { serious } from "./harness/axe.js";
import { launch } from "./harness/browser.js";
import { entered } from "./harness/enter.js";
import { start } from "./harness/server.js";

/** @type {import("./harness/server.js").Platform} */
let platform;
/** @type {import("playwright-core").Browser} */
let browser;

before(async () => {
  [platform, browser] = await Promise.all([start(), launch()]);
  await platform.call("PUT", "api/_private/projects/acme", { project: {} });
  await platform.call("PUT", "api/v1/sources/acme/survey", { source: {} });
});
after(async () => {
  await browser.close();
  await platform.stop();
});

const FILE = [
  "Number;Date;Email;Feedback;Team;Score",
  "1;02/03/2026 09:30;ann@example.com;\"Very good,\nthank you\";Red;9",
  "2;05/03/2026;bob@example.org;It took three weeks and nobody answered;Blue;2",
].join("\r\n");

/** @param {string} text */
const csv = (text) => ({ name: "survey.csv", mimeType: "text/csv", buffer: Buffer.from(text) });

test("the rows of a file become messages, once somebody has said what its columns are", async () => {
  const { page, context, wrong } = await entered(browser, platform);
  await page.goto(`${platform.url}/p/acme/sources/survey`);
  await page.getByRole("link", { name: "Upload a CSV" }).click();
  await page.getByRole("heading", { level: 1, name: "Upload a CSV" }).waitFor();
  await page.locator("input[type=file]").setInputFiles(csv(FILE));
  const column = (/** @type {string} */ name) => page.getByLabel(name, { exact: true });
  await column("Feedback").waitFor();
  const guessed = await Promise.all(["Number", "Date", "Email", "Feedback", "Team", "Score"].map((name) => column(name).inputValue()));
  assert.deepEqual(guessed, ["number", "timestamp", "string", "text", "string", "number"]);
  await page.getByText("UTF-8, separated by semicolons").waitFor();
  assert.deepEqual(await serious(page), []);
  // With the keyboard alone: what is chosen for one column is taken from the other.
  await column("Number").focus();
  await page.keyboard.type("Id");
  await column("Email").selectOption("from");
  assert.equal(await column("Number").inputValue(), "id");
  const upload = page.getByRole("button", { name: "Upload" });
  await column("Team").selectOption("text");
  assert.equal(await column("Feedback").inputValue(), "");
  await column("Team").selectOption("string");
  assert.equal(await upload.isDisabled(), true);
  await page.getByText("Say which column is: Text.").waitFor();
  await column("Feedback").selectOption("text");
  await upload.press("Enter");
  // The server names the line; nothing was stored.
  await page.getByText(/line 2.*the day and the month could be taken/).waitFor();
  await page.getByLabel("Dates such as 02/03/2026").selectOption("dmy");
  await upload.press("Enter");
  await page.getByRole("heading", { name: "Uploaded" }).waitFor();
  const kept = await platform.call("GET", "api/v1/sources/acme/survey/comments/1");
  assert.equal(kept.comment.timestamp, "2026-03-02T09:30:00Z");
  assert.equal(kept.comment.messages[0].from, "ann@example.com");
  assert.equal(kept.comment.messages[0].body.text, "Very good,\nthank you");
  assert.deepEqual(kept.comment.user_properties, { "string:Team": "Red", "number:Score": 9 });
  await page.getByRole("link", { name: "To the messages of survey" }).click();
  await page.getByTestId("newest").getByText("bob@example.org").first().waitFor();
  assert.deepEqual(wrong, []);
  await context.close();
});
