// Opens /docs/ in the system's Chromium: it renders every operation, loads nothing from outside and logs no error.
import { chromium } from 'playwright-core';
import { mkdirSync } from 'node:fs';
import assert from 'node:assert/strict';
import test from 'node:test';

const service = process.env.SERVICE;
const screenshots = process.env.SCREENSHOTS;

test('the documentation page shows every operation and loads nothing from outside', async () => {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync'],
  });
  try {
    const page = await browser.newPage();
    const requests = [], errors = [];
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (message) => { if (message.type() === 'error') errors.push(message.text()); });
    page.on('pageerror', (error) => errors.push(String(error)));

    const document = await (await fetch(`${service}/openapi.json`)).json();
    const operations = Object.values(document.paths).reduce((sum, path) => sum + Object.keys(path).length, 0);
    await page.goto(`${service}/docs`);
    await page.waitForSelector('.opblock');
    assert.equal(await page.locator('.opblock').count(), operations);
    await page.click('#operations-Lookups-getCustomerRelation .opblock-summary-control');
    await page.waitForSelector('#operations-Lookups-getCustomerRelation .parameters');
    assert.match(await page.locator('#operations-Lookups-getCustomerRelation').innerText(), /onlyPrimaryOwner/);

    mkdirSync(screenshots, { recursive: true });
    await page.screenshot({ path: `${screenshots}/docs.png` });
    const outside = requests.filter((url) => !url.startsWith(service) && !url.startsWith('data:') && !url.startsWith('blob:'));
    assert.deepEqual(outside, []);
    assert.deepEqual(errors, []);
  } finally {
    await browser.close();
  }
});
