/// How a test gets in.

export const PASSWORD = "seven herons wade upstream";

/**
 * A page of the first administrator.
 * @param {import("playwright-core").Browser} browser
 * @param {import("./server.js").Platform} platform
 * @param {import("playwright-core").BrowserContextOptions} options
 */
export async function entered(browser, platform, options = {}) {
  const { open } = await import("./browser.js");
  const headers = { authorization: `Bearer ${platform.token}` };
  return open(browser, { ...options, extraHTTPHeaders: headers });
}
