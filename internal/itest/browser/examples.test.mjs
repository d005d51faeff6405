// All examples in one program: the page that leads to them, and one of them on the hub that they share, over TLS too.
import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { startProgram } from './lib/program.mjs'

const examples = { pkg: './examples', args: ['-addr', 'localhost:0'] }
// Chromium logs each WebSocket that can't be opened, or is given up before it is.
const unreachable = /WebSocket connection to 'ws:.*failed|net::ERR_/

describe('all examples', { skip: needsChromium }, () => {
  let program, chromium
  before(async () => {
    program = await startProgram(examples)
    chromium = await launchChromium()
  })
  after(async () => {
    await chromium?.close()
    await program?.stop()
  })

  async function open(t, url, options) {
    const page = await chromium.newPage(url, options)
    t.after(() => page.context().close())
    return page
  }

  /** conns resolves when the page shows such a number of connections. */
  const conns = (page, n) => page.waitForFunction(n => document.getElementById('conns').textContent === String(n), n)

  async function enter(page, name) {
    await page.getByLabel('Name').fill(name)
    await page.getByRole('button', { name: 'Join' }).click()
    await page.getByLabel('Message', { exact: true }).waitFor()
  }

  test('the page shows what its hub does, and leads to the examples and back', async t => {
    const page = await open(t, program.url)
    await page.getByText('Live', { exact: true }).waitFor()
    await conns(page, 1)
    const other = await open(t, program.url)
    await conns(page, 2)
    await conns(other, 2)
    await page.waitForFunction(() => document.getElementById('line').points.length === 60)

    const links = await page.locator('.apps a').evaluateAll(all => all.map(a => a.href))
    assert.ok(links.includes(`${program.url}chat/`), `it leads to ${links}`)
    for (const link of links) assert.equal((await page.request.get(link)).status(), 200, link)
    for (const p of [page, other]) await p.getByRole('link', { name: 'Chat' }).click()
    await enter(page, 'Ada')
    await enter(other, 'Bob')
    await page.getByLabel('Message', { exact: true }).fill('hello')
    await page.keyboard.press('Enter')
    await other.locator('#log').getByText('hello').waitFor()
    await page.getByRole('link', { name: 'hotline chat' }).click()
    await page.getByText('Live', { exact: true }).waitFor()
    await conns(page, 2)
    chromium.check()
  })

  test('nothing sticks out on a phone, and all is said in words', async t => {
    const page = await open(t, program.url, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, colorScheme: 'dark' })
    await page.getByText('Live', { exact: true }).waitFor()
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false)
    assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1)
    await page.getByRole('img', { name: 'Messages sent in each second' }).waitFor()
    assert.equal(await page.getByRole('status').textContent(), 'Live')
  })

  test('who has come in at one is not taken for having come in at another', async t => {
    const page = await open(t, `${program.url}chat/`)
    await enter(page, 'Ada Lovelace of London')
    for (const name of ['game', 'whiteboard']) {
      await page.goto(`${program.url}${name}/`)
      await page.locator('body[data-state=open]').waitFor()
      assert.deepEqual([await page.getByLabel('Name').inputValue(), await page.getByRole('alert').count()], ['', 0], name)
    }
    await page.goto(`${program.url}chat/#lobby`)
    await page.getByLabel('Message', { exact: true }).waitFor() // as after a reload
    chromium.check(unreachable)
  })

  test('who is turned away for good does not try again and again', async t => {
    for (const name of ['home', 'dashboard', 'game', 'whiteboard']) {
      const page = await open(t)
      let tries = 0
      await page.clock.install()
      await page.routeWebSocket(/\/ws$/, ws => {
        tries++
        ws.close({ code: 4500, reason: 'not today' })
      })
      await page.goto(`${program.url}${name}/`)
      await page.locator('body[data-state=closed]').waitFor()
      await page.clock.runFor(60_000)
      assert.equal(tries, 1, name)
    }
  })

  test('the server is killed and started again', async t => {
    let server = await startProgram(examples)
    t.after(() => server.stop())
    const { host } = new URL(server.url)
    const page = await open(t, server.url)
    await conns(page, 1)
    await server.stop('SIGKILL')
    await page.getByText('Reconnecting').waitFor()
    server = await startProgram({ ...examples, args: ['-addr', host] })
    await page.getByText('Live', { exact: true }).waitFor()
    const before = await page.locator('#sent').textContent()
    await page.waitForFunction(before => document.getElementById('sent').textContent !== before, before)
    chromium.check(unreachable)
  })

  test('-tls', async t => {
    const server = await startProgram({ ...examples, args: [...examples.args, '-tls'] })
    t.after(() => server.stop())
    assert.match(server.url, /^https:/)
    const refused = await open(t)
    await assert.rejects(refused.goto(server.url), /ERR_CERT/, 'nobody trusts the certificate')
    const [ada, bob] = await Promise.all(['Ada', 'Bob'].map(async name => {
      const page = await open(t, server.url + 'chat/', { ignoreHTTPSErrors: true })
      await enter(page, name)
      return page
    }))
    await ada.getByLabel('Message', { exact: true }).fill('over wss')
    await ada.keyboard.press('Enter')
    await bob.locator('#log').getByText('over wss').waitFor()
    chromium.check(/net::ERR_CERT/)
  })
})
