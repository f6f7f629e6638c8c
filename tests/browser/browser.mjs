// The system's Chromium, and what every page is held to: no request leaves the host, no error is logged, and axe finds
// nothing serious.
import { chromium } from 'playwright-core';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

export const { SERVICE, MANAGEMENT, SCREENSHOTS } = process.env;
export const TOKENS = JSON.parse(process.env.TOKENS);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// Opens a page with these settings, and holds what `visit` does there to the rules. Errors that it provokes are expected.
export async function withPage(settings, visit, expected = []) {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  try {
    const page = await (await browser.newContext(settings)).newPage();
    page.setDefaultTimeout(15_000);
    const requests = [], errors = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
    page.on('pageerror', (error) => errors.push(String(error)));
    await visit(page);
    const ours = (url) => [SERVICE, MANAGEMENT].some((host) => url.startsWith(host)) || /^(data|blob):/.test(url);
    assert.deepEqual(requests.filter((url) => !ours(url)), [], 'requests to elsewhere');
    const unexpected = errors.filter((error) => !expected.some((pattern) => pattern.test(error)));
    assert.deepEqual(unexpected, [], 'errors in the console of the browser');
  } finally {
    await browser.close();
  }
}

// The page's policy admits no script of others, so axe is run through the debugger, in a world of its own.
export async function checkAccess(page, name) {
  const debug = await page.context().newCDPSession(page);
  const { frameTree } = await debug.send('Page.getFrameTree');
  const { executionContextId } = await debug.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id });
  await debug.send('Runtime.evaluate', { expression: axe, contextId: executionContextId });
  const { result } = await debug.send('Runtime.evaluate', {
    expression: 'axe.run(document).then((found) => JSON.stringify(found.violations))',
    contextId: executionContextId, awaitPromise: true, returnByValue: true,
  });
  const told = JSON.parse(result.value).filter(({ impact }) => ['serious', 'critical'].includes(impact));
  assert.deepEqual(told.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`), [], `axe on ${name}`);
  await debug.detach();
}

export async function shoot(page, name) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
}

// Nothing is cut off at the side.
export async function checkWidth(page, name) {
  const [inside, outside] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(inside <= outside, `${name} is ${inside} wide on a screen of ${outside}`);
}
