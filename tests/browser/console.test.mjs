// Walks through the operators' console beside a demo in use.
import { MANAGEMENT, TOKENS, checkAccess, checkWidth, shoot, withPage } from './browser.mjs';
import { BANK, CASE, NAME, deliver, halfDelivery, head, look, metrics, participants } from './calls.mjs';
import assert from 'node:assert/strict';
import test, { before, after } from 'node:test';

const CONSOLE = `${MANAGEMENT}/console`;
const WIDE = { viewport: { width: 1280, height: 860 } };
const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };
const PAGES = { overview: '', banks: '/banks', bank: `/banks/${BANK}`, agencies: '/agencies', record: '/record' };
const number = (text) => Number(text.replace(/[^0-9.]/g, ''));

let delivery, asked;
before(async () => {
  for (let at = 0; at < 40; at++) asked = await look();
  for (let at = 0; at < 3; at++) assert.equal((await look(TOKENS.skatt, 'Not a mandate of theirs')).status, 403);
  for (const lines of [300, 400, 380]) await deliver(lines, 3);
  delivery = halfDelivery();
});
after(async () => assert.equal(await delivery?.finish(), 200));

test('the overview tells what the API and the metrics tell', async () => {
  await withPage(WIDE, async (page) => {
    await page.goto(CONSOLE);
    const states = (await participants()).map(({ state }) => state);
    const count = (wanted) => states.filter((state) => state === wanted).length;
    assert.equal(number(await page.innerText('#fresh')), count('current'));
    assert.equal(number(await page.innerText('#stale')), count('stale'));
    assert.equal(number(await page.innerText('#missing')), count('notLoaded'));
    assert.ok(number(await page.innerText('#rate')) > 0);
    assert.ok(number(await page.innerText('#refused')) >= 3);
    assert.match(await page.innerText('#p50'), /ms|s/);
    await page.reload();
    const shown = number(await page.innerText('#head'));
    const { sequence } = await head();
    assert.ok(shown <= sequence && sequence - shown < 20, `${shown} and ${sequence}`);
    assert.match(await page.innerText('#standing'), /1 delivery under way/);
  });
});

test('the overview refreshes itself, and says so when it cannot', async () => {
  await withPage(WIDE, async (page) => {
    await page.goto(CONSOLE);
    const before = number(await page.innerText('#record #head'));
    await look();
    await page.waitForFunction((before) => Number(document.querySelector('#head').innerText.replace(/\D/g, '')) > before, before);
    assert.ok(await page.isHidden('#offline'));
    await page.route('**/console', (route) => route.fulfill({ status: 503, body: '' }));
    await page.waitForSelector('#offline:visible', { timeout: 10_000 });
  }, [/503/]);
});

test('the banks have the records that the metrics count, and the delivery under way its bar', async () => {
  await withPage(WIDE, async (page) => {
    await page.goto(`${CONSOLE}/banks`);
    const counted = (await metrics()).matchAll(/^kundeforhold_records\{bank="(\d+)",register="(\w+)"\} (\d+)/gm);
    let compared = 0;
    for (const [, bank, register, records] of counted) {
      if (bank === BANK) continue;
      const row = page.locator(`[data-set="${bank}/${register}"] .records`);
      assert.equal(number(await row.innerText()), Number(records), `${bank}/${register}`);
      compared++;
    }
    assert.ok(compared >= 10);
    const bar = page.locator(`[data-set="${BANK}/KAR"] progress`);
    await bar.waitFor();
    assert.equal(await bar.getAttribute('value'), '50');
    await page.click(`text=${NAME}`);
    await page.waitForURL(`**/banks/${BANK}`);
    assert.match(await page.innerText('#deliveries'), /Receiving/);
    assert.match(await page.innerText('#deliveries'), /Superseded/);
  });
});

test('a receipt tells counts and rejected lines', async () => {
  await withPage(WIDE, async (page) => {
    const { deliveryID, stored } = await deliver(500, 2);
    await page.goto(`${CONSOLE}/banks/${BANK}/deliveries/${deliveryID}`);
    const counts = await page.innerText('[aria-labelledby=counts-title]');
    assert.equal(number(/Records stored\s+(\d+)/.exec(counts)[1]), stored);
    assert.match(await page.innerText('[aria-labelledby=rejects-title]'), /KFR-005/);
    assert.doesNotMatch(await page.innerText('body'), /12345678901/);
    await checkAccess(page, 'receipt');
    await shoot(page, 'console-receipt');
  });
});

test('a rollback is confirmed before it is done', async () => {
  await withPage(WIDE, async (page) => {
    const { deliveryID } = await deliver(420);
    await page.goto(`${CONSOLE}/banks/${BANK}`);
    await page.locator('#deliveries tr', { hasText: 'KFR' }).filter({ hasText: 'Published' }).first().locator('text=Roll back').click();
    await page.waitForURL(`**/deliveries/${deliveryID}/rollback`);
    assert.match(await page.innerText('[aria-labelledby=undone-title]'), /Whole set/);
    await checkAccess(page, 'rollback');
    await shoot(page, 'console-rollback');
    await page.click('button:has-text("Roll back")');
    await page.waitForSelector('text=What it undid');
    assert.match(await page.innerText('[aria-labelledby=undone-title]'), new RegExp(deliveryID));
    await page.goto(`${CONSOLE}/banks/${BANK}/deliveries/${deliveryID}`);
    assert.match(await page.innerText('main'), /Rolled back/);
  });
});

test('agencies have their volume, and what was outside the terms', async () => {
  await withPage(WIDE, async (page) => {
    await page.goto(`${CONSOLE}/agencies`);
    const sandbox = page.locator('[data-agency="310500003"]');
    assert.ok(number(await sandbox.locator('.asked').innerText()) >= 40);
    assert.match(await page.innerText('[data-agency="974761076"]'), /mandate\s+[0-9]/);
  });
});

test('the record is verified and searched, and the search is found by the next one', async () => {
  await withPage(WIDE, async (page) => {
    await page.goto(`${CONSOLE}/record`);
    await page.click('button:has-text("Verify now")');
    await page.waitForSelector('#verified :text("Verified")');
    await page.fill('[name=correlation]', asked.correlation);
    await page.click('button:has-text("Search")');
    assert.match(await page.innerText('#results'), /^1 found/);
    assert.match(await page.innerText('table'), /310500003/);
    await page.fill('[name=correlation]', '');
    await page.fill('[name=case]', CASE);
    await page.press('[name=case]', 'Enter');
    await page.waitForSelector('#results');
    assert.ok(number(/^\d+/.exec(await page.innerText('#results'))[0]) >= 43);
    await page.press('[name=case]', 'Enter');
    await page.waitForSelector('table :text("consoleSearch")');
    await checkAccess(page, 'results');
    await page.fill('[name=case]', '');
    await page.fill('[name=correlation]', asked.correlation);
    await page.press('[name=case]', 'Enter');
    await page.waitForSelector('#results');
    await shoot(page, 'console-results');
  });
});

test('the keyboard is enough', async () => {
  await withPage(WIDE, async (page) => {
    await page.goto(CONSOLE);
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    const focused = () => page.evaluate(() => document.activeElement.innerText || document.activeElement.name);
    const tabTo = async (text) => {
      for (let at = 0; at < 80; at++) {
        if ((await focused()).startsWith(text)) return;
        await page.keyboard.press('Tab');
      }
      assert.fail(`${text} is not reached`);
    };
    await tabTo('Banks');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/banks');
    await tabTo(NAME);
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.equal(outline, 'solid', 'focus is seen');
    await page.keyboard.press('Enter');
    await page.waitForURL(`**/banks/${BANK}`);
    await tabTo('Record of use');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/record');
    await tabTo('correlation');
    await page.keyboard.type(asked.correlation);
    await page.keyboard.press('Enter');
    await page.waitForSelector('#results');
  });
});

for (const [screen, settings] of Object.entries({ wide: WIDE, phone: PHONE })) {
  for (const colorScheme of ['light', 'dark']) {
    test(`every page reads well: ${screen}, ${colorScheme}`, async () => {
      await withPage({ ...settings, colorScheme }, async (page) => {
        for (const [name, path] of Object.entries(PAGES)) {
          await page.goto(CONSOLE + path);
          await checkAccess(page, `${name}, ${screen}, ${colorScheme}`);
          await checkWidth(page, `${name}, ${screen}`);
          await shoot(page, `console-${name}-${screen}-${colorScheme}`);
        }
      });
    });
  }
}
