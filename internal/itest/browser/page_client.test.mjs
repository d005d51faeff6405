// A hub and the bare WebSocket of a browser: what ws_client.test.mjs has of a strict client, as a page does it; and the
// client that PROTOCOL.md prints, as it stands there. The server is internal/itest/hubserver.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import test, { after, before, describe } from 'node:test'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { PageWire } from './lib/pagewire.mjs'
import { itest, root, startProgram } from './lib/program.mjs'
import { startProxy } from './lib/proxy.mjs'

const hubserver = { dir: itest, pkg: './hubserver' }
const unreachable = /WebSocket connection to 'ws:.*failed|net::ERR_/

describe('a page', { skip: needsChromium }, () => {
  let server, proxy, chromium, page
  before(async () => {
    server = await startProgram(hubserver)
    proxy = await startProxy(server.url)
    chromium = await launchChromium()
    page = await chromium.newPage(proxy.url)
  })
  after(async () => {
    await chromium?.close()
    proxy?.close()
    await server?.stop()
  })

  /** join says hello with a subscription to each topic, and resolves when all have joined. */
  async function join(t, token, ...subs) {
    const wire = await PageWire.open(page, proxy.url + 'ws', { token, subs: subs.map((sub, i) => ({ sub: i + 1, ...sub })) })
    t.after(() => wire.close())
    assert.equal((await wire.next()).op, 'welcome')
    for (const i of subs.keys()) await wire.next({ op: 'ok', sub: i + 1 })
    return wire
  }

  test('publishes and receives text', async t => {
    const ada = await join(t, 'ada', { topic: 'test.page' })
    const bob = await join(t, 'bob')
    await bob.send({ op: 'sub', sub: 1, topic: 'test.*' })
    await bob.next({ op: 'ok', sub: 1 })
    await ada.send({ op: 'pub', ref: 1, topic: 'test.page', data: { greeting: 'hé "\n🦊' } })
    const { id } = await ada.next({ op: 'ok', ref: 1 })
    for (const wire of [ada, bob]) {
      assert.deepEqual(await wire.next({ topic: 'test.page' }), { topic: 'test.page', id, from: 'ada', data: { greeting: 'hé "\n🦊' } })
    }
    await bob.send({ op: 'unsub', sub: 1 })
    await bob.next({ op: 'end', sub: 1 })
  })

  test('publishes and receives bytes', async t => {
    const ada = await join(t, 'ada', { topic: 'test.bytes' })
    for (const data of [Buffer.from([0, 10, 13, 255, 10]), Buffer.alloc(0), Buffer.alloc(30_000, 0xfe)]) {
      await ada.send({ op: 'pub', ref: 1, topic: 'test.bytes', data })
      const { id } = await ada.next({ op: 'ok', ref: 1 })
      assert.deepEqual(await ada.next({ topic: 'test.bytes' }), { topic: 'test.bytes', id, from: 'ada', data })
    }
  })

  test('is pinged, and stays', async t => {
    const ada = await join(t, 'ada', { topic: 'test.ping' })
    for (let i = 0; i < 3; i++) await ada.next({ op: 'ping' })
    await ada.send({ op: 'pub', ref: 1, topic: 'test.ping', data: 1 })
    await ada.next({ topic: 'test.ping' })
  })

  test('resumes after a cut', async t => {
    const ada = await join(t, 'ada', { topic: 'test.resume' })
    await ada.send({ op: 'pub', ref: 1, topic: 'test.resume', data: 1 })
    const { id } = await ada.next({ topic: 'test.resume' })
    proxy.cut()
    t.after(() => proxy.heal())
    assert.equal((await ada.closed()).code, 1006)
    await assert.rejects(PageWire.open(page, proxy.url + 'ws'), /1006/)
    const other = await chromium.newPage(server.url) // past the proxy
    t.after(() => other.context().close())
    const bob = await PageWire.open(other, server.url + 'ws', { token: 'bob' })
    for (const ref of [2, 3]) {
      await bob.send({ op: 'pub', ref, topic: 'test.resume', data: ref })
      await bob.next({ op: 'ok', ref })
    }
    proxy.heal()
    const again = await PageWire.open(page, proxy.url + 'ws', { token: 'ada', subs: [{ sub: 1, topic: 'test.resume', after: id }] })
    t.after(() => again.close())
    for (const data of [2, 3]) assert.equal((await again.next({ topic: 'test.resume' })).data, data)
    await again.next({ op: 'ok', sub: 1 })
    chromium.check(unreachable)
  })

  test('reads why it is closed', async t => {
    const ada = await join(t, 'ada')
    await ada.send({ op: 'pub', ref: 1, topic: 'close.me', data: 1 })
    assert.deepEqual(await ada.closed(), { code: 4000, reason: 'as asked' })
    const nobody = await PageWire.open(page, proxy.url + 'ws', { token: '' })
    const { code, reason } = await nobody.closed()
    assert.equal(code, 3500)
    assert.match(reason, /a name, please/)
  })

  test('closes', async t => {
    assert.equal((await (await join(t, 'ada')).close()).code, 1000)
  })

  test('runs the client that PROTOCOL.md prints: it comes back, misses nothing, repeats nothing', async t => {
    const text = await readFile(path.join(root, 'PROTOCOL.md'), 'utf8')
    const [, source] = text.match(/```js\n(export function connect\(.*?)```/s)
    const window = await chromium.newPage(proxy.url)
    t.after(() => window.context().close())
    await window.evaluate(async ({ source, url }) => {
      const { connect } = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })))
      Object.assign(globalThis, { got: [], gaps: 0, client: connect(url, () => 'ada') })
      client.subscribe('test.printed', f => f.op === 'gap' ? gaps++ : got.push(f.data), 10)
    }, { source, url: proxy.url.replace('http', 'ws') + 'ws' })
    const publish = data => window.evaluate(data => client.publish('test.printed', data), data)
    const has = data => window.waitForFunction(data => got.includes(data), data)
    await publish(1)
    await has(1)

    proxy.cut()
    t.after(() => proxy.heal())
    const offline = publish(3)
    const other = await chromium.newPage(server.url)
    t.after(() => other.context().close())
    const bob = await PageWire.open(other, server.url + 'ws', { token: 'bob' })
    await bob.send({ op: 'pub', ref: 1, topic: 'test.printed', data: 2 })
    await bob.next({ op: 'ok', ref: 1 })
    proxy.heal()
    await offline
    await publish(4)
    await has(4)
    assert.deepEqual(await window.evaluate(() => [got, gaps]), [[1, 2, 3, 4], 0])
    chromium.check(unreachable)
  })
})
