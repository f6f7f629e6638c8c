// Opens /docs/: it renders every operation, loads nothing from outside and logs no error.
import { SERVICE, shoot, withPage } from './browser.mjs';
import assert from 'node:assert/strict';
import test from 'node:test';

test('the documentation page shows every operation and loads nothing from outside', async () => {
  await withPage({}, async (page) => {
    const document = await (await fetch(`${SERVICE}/openapi.json`)).json();
    const operations = Object.values(document.paths).reduce((sum, path) => sum + Object.keys(path).length, 0);
    await page.goto(`${SERVICE}/docs`);
    await page.waitForSelector('.opblock');
    assert.equal(await page.locator('.opblock').count(), operations);
    await page.click('#operations-Lookups-getCustomerRelation .opblock-summary-control');
    await page.waitForSelector('#operations-Lookups-getCustomerRelation .parameters');
    assert.match(await page.locator('#operations-Lookups-getCustomerRelation').innerText(), /onlyPrimaryOwner/);
    await shoot(page, 'docs');
  });
});
