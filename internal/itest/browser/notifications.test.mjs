// examples/notifications, as a shop's customers and its staff use it: each device is a browser context of its own.
import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { startProgram } from './lib/program.mjs'
import { startProxy } from './lib/proxy.mjs'

const shop = { pkg: './examples/notifications', args: ['-addr', 'localhost:0'] }
// Of a page that is left while it connects, and of one whose session has ended, too.
const unreachable = /WebSocket connection to 'ws:.*failed|net::ERR_|401 \(Unauthorized\)/

describe('the shop', { skip: needsChromium }, () => {
  let program, chromium
  before(async () => {
    program = await startProgram(shop) // in which each customer has one order: Ada 1042, Bob 1043, Chiara 1044
    chromium = await launchChromium()
  })
  after(async () => {
    await chromium?.close()
    await program?.stop()
  })

  async function login(t, name, { url = program.url, ...options } = {}) {
    const page = await chromium.newPage(undefined, options)
    t.after(() => page.context().close())
    await page.context().addInitScript(noteToasts)
    await page.goto(url)
    await enter(page, name)
    return page
  }

  /** noteToasts runs in each page: a test that comes late finds what a toast has said. */
  function noteToasts() {
    globalThis.toasts = []
    new MutationObserver(all => {
      for (const { addedNodes } of all) for (const e of addedNodes) if (e.matches?.('.toast')) globalThis.toasts.push(e.textContent)
    }).observe(document, { childList: true, subtree: true })
  }

  async function enter(page, name) {
    await page.getByRole('button', { name }).click()
    await state(page, 'open')
  }

  const state = (page, want) => page.waitForFunction(want => document.body.dataset.state === want, want)
  const buy = (page, name) => page.getByRole('button', { name: `Buy: ${name}` }).click()
  const move = (staff, does, id) => staff.getByRole('button', { name: `${does} order ${id}` }).click()
  const unread = (page, n) => page.waitForFunction(
    want => document.querySelector('#bell').ariaLabel === want, n ? `Notifications, ${n} unread` : 'Notifications')
  const toast = (page, text) => page.waitForFunction(text => globalThis.toasts.some(said => said.includes(text)), text)

  /** hears resolves when these notes, newest first, are in the list, which may be shut. */
  async function hears(page, ...texts) {
    await page.waitForFunction(n => document.querySelectorAll('#notes li').length >= n, texts.length)
    assert.deepEqual(await page.evaluate(() => Array.from(document.querySelectorAll('#notes li p'), p => p.firstChild.textContent)), texts)
  }
  const received = item => `We have your order: ${item}.`, packed = item => `Your ${item} is packed.`
  const shipped = item => `Your ${item} is on its way.`, delivered = item => `Your ${item} has arrived.`
  const [adas, bobs, chiaras] = ['stoneware mug', 'desk lamp', 'dotted notebook']

  test('each step shows on all devices of its customer, and what is read on one is read on all', async t => {
    const staff = await login(t, 'Staff')
    const [phone, laptop] = [await login(t, 'Ada'), await login(t, 'Ada')]
    const bob = await login(t, 'Bob')
    await buy(phone, 'Little ficus')
    for (const page of [phone, laptop]) {
      await toast(page, received('little ficus'))
      await unread(page, 2)
    }
    await move(staff, 'Pack', 1045)
    for (const page of [phone, laptop]) {
      await toast(page, packed('little ficus'))
      await page.getByText('Order 1045 · packed').waitFor()
      await hears(page, packed('little ficus'), received('little ficus'), received(adas))
    }
    await unread(laptop, 3)
    assert.match(await laptop.title(), /^\(3\)/)
    await phone.getByRole('button', { name: 'Notifications, 3 unread' }).click()
    await phone.getByRole('heading', { name: 'Notifications' }).waitFor()
    for (const page of [phone, laptop]) await unread(page, 0)
    await unread(bob, 1)
    await hears(bob, received(bobs))
    chromium.check()
  })

  test('what happened while no tab was open is there on return', async t => {
    const staff = await login(t, 'Staff')
    const bob = await login(t, 'Bob')
    await bob.getByRole('button', { name: 'Notifications, 1 unread' }).click()
    await unread(bob, 0)
    const context = bob.context()
    await bob.close()
    await move(staff, 'Pack', 1043)
    await move(staff, 'Ship', 1043)
    await staff.getByRole('button', { name: 'Deliver order 1043' }).waitFor()
    await staff.getByLabel('News').fill('Sale!')
    await staff.getByRole('button', { name: 'Send' }).click()
    await toast(staff, 'Everybody is told')

    const again = await context.newPage()
    await again.goto(program.url)
    await toast(again, '2 things happened while you were away')
    await toast(again, 'Sale!')
    await unread(again, 2)
    await hears(again, shipped(bobs), packed(bobs), received(bobs))
    await again.getByRole('button', { name: /^Notifications/ }).click()
    await unread(again, 0)
    await again.reload()
    await hears(again, shipped(bobs), packed(bobs), received(bobs))
    await unread(again, 0)
    await again.waitForTimeout(500) // what would be told again would come with these
    assert.deepEqual(await again.evaluate(() => globalThis.toasts), [], 'what was told once is told no more')
    chromium.check(unreachable)
  })

  test('what happens while the network is away arrives in order, once', async t => {
    const proxy = await startProxy(program.url)
    t.after(() => proxy.close())
    const staff = await login(t, 'Staff')
    const chiara = await login(t, 'Chiara', { url: proxy.url })
    await chiara.context().setOffline(true)
    proxy.cut()
    await chiara.getByText('Reconnecting').waitFor()
    await buy(chiara, 'Desk lamp')
    await toast(chiara, 'The shop can’t be reached')
    await move(staff, 'Pack', 1044)
    await move(staff, 'Ship', 1044)
    await move(staff, 'Deliver', 1044)
    await staff.locator('#order-1044').getByText('delivered').waitFor()
    proxy.heal()
    await chiara.context().setOffline(false)
    await state(chiara, 'open')
    await hears(chiara, delivered(chiaras), shipped(chiaras), packed(chiaras), received(chiaras))
    await unread(chiara, 4)
    await chiara.getByText('Order 1044 · delivered').waitFor()
    chromium.check(unreachable)
  })

  test('logging out ends this device, and no other', async t => {
    const staff = await login(t, 'Staff')
    const [phone, laptop] = [await login(t, 'Ada'), await login(t, 'Ada')]
    const tab = await phone.context().newPage()
    await tab.goto(program.url)
    await state(tab, 'open')
    await laptop.evaluate(() => { // to see that it was never away
      globalThis.states = []
      new MutationObserver(() => globalThis.states.push(document.body.dataset.state)).observe(document.body, { attributeFilter: ['data-state'] })
    })
    await phone.getByRole('button', { name: 'Log out' }).click()
    for (const page of [phone, tab]) await page.getByRole('heading', { name: 'The shop' }).waitFor()
    await move(staff, 'Pack', 1042)
    await toast(laptop, packed(adas))
    assert.deepEqual(await laptop.evaluate(() => globalThis.states), [])
    chromium.check(unreachable)
  })

  test('on a phone nothing sticks out', async t => {
    for (const name of ['Ada', 'Staff']) {
      const page = await login(t, name, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true })
      await page.getByText(/1042/).first().waitFor({ state: 'attached' })
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false)
    }
    chromium.check()
  })

  test('after a restart everybody logs in again: the shop keeps all in memory', async t => {
    const { host } = new URL(program.url)
    const staff = await login(t, 'Staff')
    const ada = await login(t, 'Ada')
    assert.deepEqual(await program.stop('SIGINT'), { code: 0, signal: null })
    await ada.getByText('Reconnecting').waitFor()
    program = await startProgram({ ...shop, args: ['-addr', host] })
    for (const [page, name] of [[ada, 'Ada'], [staff, 'Staff']]) {
      await page.getByRole('heading', { name: 'The shop' }).waitFor()
      await enter(page, name)
    }
    await move(staff, 'Pack', 1042)
    await hears(ada, packed(adas), received(adas))
    chromium.check(unreachable)
  })
})
