/// Looks for what keeps people out: findings of axe that are serious.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** @param {import("playwright-core").Page} page */
export async function serious(page) {
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
