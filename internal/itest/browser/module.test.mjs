// js/hotline.js where it belongs: in a page and in a worker of Chromium. What it does frame by frame is tested in js/test.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import test, { after, before, describe } from 'node:test'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { itest, root, startProgram } from './lib/program.mjs'
import { startProxy } from './lib/proxy.mjs'
import { Wire } from './lib/wire.mjs'

const unreachable = /WebSocket connection to 'ws:.*failed|net::ERR_/

describe('the module', { skip: needsChromium }, () => {
  let server, proxy, chromium, eve
  before(async () => {
    server = await startProgram({ dir: itest, pkg: './hubserver' })
    proxy = await startProxy(server.url)
    chromium = await launchChromium()
    eve = await Wire.open(server.url + 'ws', { token: 'eve' })
  })
  after(async () => {
    eve?.ws.terminate()
    await chromium?.close()
    proxy?.close()
    await server?.stop()
  })

  let ref = 0
  async function say(topic, data) {
    eve.send({ op: 'pub', ref: ++ref, topic, data })
    await eve.next({ op: 'ok', ref })
  }

  /** opens a page that listens to topic: window.heard has what came, window.sockets each connection. */
  async function open(t, topic) {
    const page = await chromium.newPage(proxy.url)
    t.after(() => page.context().close())
    await page.evaluate(async topic => {
      window.sockets = []
      window.WebSocket = class extends WebSocket {
        constructor(...args) {
          super(...args)
          sockets.push(this)
        }
      }
      const { connect } = await import('/hotline.js')
      window.hub = connect('/ws', { token: () => 'ada' })
      window.heard = []
      const sub = hub.subscribe(topic)
      sub.addEventListener('message', e => heard.push(e.message.data))
      sub.addEventListener('gap', () => heard.push('gap'))
      await sub.ready
    }, topic)
    return page
  }

  const hears = (page, want) => page.waitForFunction(n => heard.length >= n, want.length)
    .then(async () => assert.deepEqual(await page.evaluate(() => heard), want))
  const live = page => page.evaluate(() => sockets.filter(ws => ws.readyState < 2).length)

  test('publishes and receives JSON and bytes', async t => {
    const page = await open(t, 'test.module')
    const ids = await page.evaluate(() => Promise.all([hub.publish('test.module', 'hé 🦊'), hub.publish('test.module', Uint8Array.of(0, 10, 255))]))
    await page.waitForFunction(() => heard.length === 2)
    assert.deepEqual(await page.evaluate(() => [heard[0], heard[1] instanceof Uint8Array && [...heard[1]]]), ['hé 🦊', [0, 10, 255]])
    assert.equal(new Set(ids).size, 2)
    chromium.check()
  })

  test('offline and online: it is back at once, over one socket, with what it missed and what it said', async t => {
    const page = await open(t, 'test.offline')
    await page.context().setOffline(true)
    proxy.cut()
    await page.waitForFunction(() => hub.state === 'connecting')
    await page.evaluate(() => { window.said = hub.publish('test.offline', 'from here') })
    await say('test.offline', 'meanwhile')
    proxy.heal()
    await page.context().setOffline(false)
    await page.evaluate(() => said)
    await hears(page, ['meanwhile', 'from here'])
    assert.equal(await live(page), 1)
    chromium.check(unreachable)
  })

  test('left for another page and come back to, it resumes', async t => {
    const page = await open(t, 'test.back')
    const url = page.url()
    await page.evaluate(() => addEventListener('pageshow', e => { window.kept = e.persisted }))
    await page.goto(new URL('/hotline.js', url).href)
    await say('test.back', 'meanwhile')
    await page.goBack({ waitUntil: 'commit' })
    await page.waitForFunction(() => window.kept) // the browser may keep a page that has no open socket
    await hears(page, ['meanwhile'])
    assert.equal(await live(page), 1)
    chromium.check()
  })

  test('the page of README.md', async t => {
    const [, html] = (await readFile(path.join(root, 'README.md'), 'utf8')).match(/```html\n(.*?)```/s)
    assert.equal(html.trim().split('\n').length, 8)
    const body = html.replaceAll('chat.lobby', 'test.lobby').replace('connect("/ws")', 'connect("/ws", { token: () => "ada" })') // of this hub
    const page = await chromium.newPage(server.url)
    t.after(() => page.context().close())
    await say('test.lobby', 'before')
    await page.setContent(body)
    await page.getByText('before').waitFor()
    await page.locator('#text').fill('hello')
    await page.locator('#text').press('Enter')
    await page.getByText('hello').waitFor()
    await page.waitForFunction(() => document.querySelector('#text').value === '')
    chromium.check()
  })

  test('in a worker', async t => {
    const page = await chromium.newPage(server.url)
    t.after(() => page.context().close())
    const answer = page.evaluate(() => new Promise((resolve, reject) => {
      const code = `import { connect } from '${location.origin}/hotline.js'
        const hub = connect('/ws', { token: () => 'worker' })
        const sub = hub.subscribe('test.worker')
        sub.ready.then(() => postMessage('ready'))
        for await (const m of sub) postMessage(m.data)`
      const worker = new Worker(URL.createObjectURL(new Blob([code], { type: 'text/javascript' })), { type: 'module' })
      worker.onmessage = e => e.data === 'ready' ? window.ready = true : resolve(e.data)
      worker.onerror = e => reject(new Error(e.message))
    }))
    await page.waitForFunction(() => window.ready)
    await say('test.worker', 42)
    assert.equal(await answer, 42)
    chromium.check()
  })
})
