// examples/dashboard: one page as it is, and one over a slow link.
import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { startProgram } from './lib/program.mjs'
import { startProxy } from './lib/proxy.mjs'

const dashboard = { pkg: './examples/dashboard', args: ['-addr', 'localhost:0'] }
const small = { width: 800, height: 400 } // whoever draws without a GPU draws less
const unreachable = /WebSocket connection to 'ws:.*failed|net::ERR_/

describe('the dashboard', { skip: needsChromium }, () => {
  let program, chromium
  before(async () => {
    program = await startProgram(dashboard)
    chromium = await launchChromium()
  })
  after(async () => {
    await chromium?.close()
    await program?.stop()
  })

  async function open(t, { url = program.url, hash = '', ...options } = {}) {
    const page = await chromium.newPage(`${url}dashboard/${hash}`, { viewport: small, ...options })
    t.after(() => page.context().close())
    await page.waitForFunction(async () => (await import('/dashboard/board.js')).prices.size === 200)
    return page
  }

  /** shown is what a page shows, by symbol: the step of the market, and cents. */
  const shown = page => page.evaluate(async () => {
    const { prices } = await import('/dashboard/board.js')
    return Object.fromEntries(Array.from(prices.values(), p => [p.symbol, [p.tick, p.cents]]))
  })
  const newest = async page => Math.max(...Object.values(await shown(page)).map(([tick]) => tick))
  const state = (page, want) => page.waitForFunction(want => document.body.dataset.state === want, want)

  /** online resolves when the page is connected again, and does not wait for as long as it has decided to. */
  async function online(page) {
    await page.evaluate(() => dispatchEvent(new Event('online')))
    await state(page, 'open')
  }

  test('a slow page shows few values, none of them old, and in the end the newest', async t => {
    const fast = await open(t)
    const slow = await open(t, { hash: '#slow' })
    assert.equal(await slow.getByRole('switch').isChecked(), true)
    await slow.waitForFunction(() => { // once there is a second value of some
      const number = id => Number(document.querySelector(id).textContent.replace(/\D/g, ''))
      return number('#received') > 0 && number('#received') < 100 && number('#conflated') > 10 * number('#received')
    })
    // 200 values take four seconds, at most two rounds are shown: this allows a machine that is busy to be late.
    const ages = await slow.evaluate(async () => {
      const { prices } = await import('/dashboard/board.js')
      return Array.from(prices.values(), p => Date.now() - p.at)
    })
    assert.ok(Math.max(...ages) < 30_000, `the oldest price is ${Math.max(...ages)} ms old`)
    await fast.waitForFunction(() => document.querySelector('[data-kind="behind"] b').textContent.endsWith(' of 2'))

    // The market opens by itself after a while, so it may have to be closed again until a slow machine is done.
    for (let tries = 5; ; tries--) {
      if (await fast.getByRole('button', { name: 'Close market' }).isVisible()) await fast.getByRole('button', { name: 'Close market' }).click()
      try {
        for (const page of [fast, slow]) {
          await page.getByText('These are the last prices').waitFor({ timeout: 20_000 })
        }
        assert.deepEqual(await shown(slow), await shown(fast))
        assert.equal(await slow.locator('#average').textContent(), await fast.locator('#average').textContent())
        break
      } catch (error) {
        if (tries === 0) throw error
      }
    }
    await slow.getByRole('button', { name: 'Open market' }).click()
    const closed = await newest(fast)
    await fast.waitForFunction(async closed => {
      const { prices } = await import('/dashboard/board.js')
      return Array.from(prices.values()).every(p => p.tick > closed)
    }, closed)
    chromium.check()
  })

  test('the switch works by keyboard, and a reload keeps it', async t => {
    const page = await open(t)
    await page.getByRole('switch').focus()
    await page.keyboard.press('Space')
    await page.waitForFunction(() => location.hash === '#slow')
    await page.getByText('it is sent the newest of each price').waitFor()
    await page.reload()
    await state(page, 'open')
    assert.equal(await page.getByRole('switch').isChecked(), true)
    await page.getByRole('switch').click()
    await page.waitForFunction(() => location.hash === '')
    await state(page, 'open')
    await page.getByLabel('Follow a price', { exact: true }).selectOption('ALDA')
    await page.waitForFunction(() => /^\d+\.\d\d {2}[+−]\d+\.\d\d %$/.test(document.querySelector('#followed').textContent))
    assert.equal(await page.locator('#games li').count(), 8)
    chromium.check(unreachable)
  })

  test('on a phone nothing sticks out, in either scheme', async t => {
    for (const colorScheme of ['light', 'dark']) {
      const page = await open(t, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, reducedMotion: 'reduce', colorScheme })
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false)
      assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1)
    }
    chromium.check()
  })

  test('it goes on after the network was away, and after the server was started again', async t => {
    const { host } = new URL(program.url)
    const proxy = await startProxy(program.url)
    t.after(() => proxy.close())
    const page = await open(t, { url: proxy.url })
    const all = since => page.waitForFunction(async since => {
      const { prices } = await import('/dashboard/board.js')
      return Array.from(prices.values()).every(p => p.at > since)
    }, since)

    await page.context().setOffline(true)
    proxy.cut()
    await page.getByText('The prices are those that were last received').waitFor()
    proxy.heal()
    await page.context().setOffline(false)
    await online(page)
    await all(Date.now())

    assert.deepEqual(await program.stop('SIGINT'), { code: 0, signal: null })
    await state(page, 'connecting')
    program = await startProgram({ ...dashboard, args: ['-addr', host] })
    await online(page)
    await all(Date.now()) // also of the market that has begun anew
    chromium.check(unreachable)
  })
})
