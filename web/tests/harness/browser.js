/// Debian's Chromium, and pages that tell what went wrong in them.

import { chromium } from "playwright-core";
import process from "node:process";

/** Everything that would reach for the network by itself is off. */
const FLAGS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--font-render-hinting=none"];

export const launch = () => chromium.launch({
  executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
  // Containers run as root, where Chromium has no sandbox of its own.
  args: [...FLAGS, ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
});

/**
 * A page of somebody who is signed in, with a list of what went wrong in it.
 * @param {import("playwright-core").Browser} browser
 * @param {import("playwright-core").BrowserContextOptions} options
 */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
  // Machines that build at the same time are slow.
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  /** @type {string[]} */
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // Refusals of the API are part of some tests; the page shows them.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) wrong.push(message.text());
  });
  return { context, page, wrong };
}
