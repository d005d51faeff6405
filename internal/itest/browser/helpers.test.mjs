// The helpers of the other tests, against programs and frames that need no hub.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import test from 'node:test'
import { WebSocketServer } from 'ws'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { itest, startProgram } from './lib/program.mjs'
import { decode, encode, Wire } from './lib/wire.mjs'

const page = { dir: itest, pkg: './browser/testdata/page' }
const silent = { dir: itest, pkg: './browser/testdata/silent' }

test('a program is started, found by the URL that it prints, and stopped', async t => {
  const program = await startProgram(page)
  t.after(() => program.stop())
  assert.match(program.url, /^http:\/\/127\.0\.0\.1:\d+\/$/)
  assert.equal((await fetch(program.url)).status, 200)
  assert.deepEqual(await program.stop(), { code: 0, signal: null })
  await assert.rejects(fetch(program.url))
})

test('a program that ends says why', async () => {
  await assert.rejects(startProgram(silent), /silent ended: {"code":1,.*no port to be had/s)
})

test('a program that prints no URL is not waited for', async () => {
  await assert.rejects(startProgram({ ...silent, args: ['-hang'], timeout: 200 }), /printed no URL within 200 ms/)
})

test('a package that does not build says why', async () => {
  await assert.rejects(startProgram({ dir: itest, pkg: './browser/testdata/none' }), /go build .*none/)
})

test('pages are opened by people who share nothing, and their errors are seen', { skip: needsChromium }, async t => {
  const program = await startProgram(page)
  t.after(() => program.stop())
  const chromium = await launchChromium()
  t.after(() => chromium.close())
  const [ada, bob] = [await chromium.newPage(program.url), await chromium.newPage(program.url)]
  await ada.reload()
  assert.equal(await ada.textContent('#visits'), '2')
  assert.equal(await bob.textContent('#visits'), '1')
  chromium.check()
  await bob.goto(program.url + '#throw')
  await bob.reload()
  assert.throws(() => chromium.check(), /as asked/)
})

test('frames survive encoding', () => {
  for (const frame of [
    { op: 'pub', ref: 1, topic: 'a', data: { text: 'é\n' } },
    { op: 'pub', ref: 2, topic: 'a', data: Buffer.from([0, 10, 255]) },
    { op: 'pub', ref: 3, topic: 'a', data: Buffer.alloc(0) },
  ]) {
    const { bytes, binary } = encode(frame)
    assert.deepEqual(decode(bytes, binary), frame)
  }
  assert.throws(() => decode(Buffer.from('{}'), true), /newline/)
})

/** serve starts a WebSocket server and resolves with its URL. */
async function serve(t, options, onConnection) {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', ...options })
  t.after(() => server.close())
  server.on('connection', onConnection)
  await once(server, 'listening')
  return `http://127.0.0.1:${server.address().port}/`
}

test('a Wire hands out frames by what they say, in order, and tells how it ended', async t => {
  const url = await serve(t, {}, ws => ws.on('message', () => {
    for (const frame of [{ n: 1 }, { n: 2, op: 'x' }, { n: 3 }]) ws.send(JSON.stringify(frame))
    ws.send(Buffer.from('{"n":4}\n\x01'))
    setTimeout(() => ws.close(3999, 'as asked'), 50)
  }))
  const wire = await Wire.open(url)
  assert.deepEqual(await wire.next({ op: 'x' }), { n: 2, op: 'x' })
  assert.deepEqual(await wire.next(), { n: 1 })
  assert.deepEqual(await wire.next({ data: Buffer.from([1]) }), { n: 4, data: Buffer.from([1]) })
  await assert.rejects(wire.next({ n: 5 }, 10), /timeout while waiting for {"n":5}; had \[{"n":3}\]/)
  await assert.rejects(wire.next({ n: 5 }), /closed while waiting/)
  assert.deepEqual(wire.rest(), [{ n: 3 }])
  assert.deepEqual(await wire.closed, { code: 3999, reason: 'as asked' })
})

test('a Wire answers pings, and keeps them only for whoever waits', async t => {
  const answers = []
  const url = await serve(t, {}, ws => {
    ws.on('message', text => answers.push(JSON.parse(text).op))
    for (const op of ['ping', 'x', 'y']) ws.send(JSON.stringify({ op }))
    setTimeout(() => ws.send('{"op":"ping"}'), 50)
  })
  const wire = await Wire.open(url)
  await wire.next({ op: 'x' })
  assert.deepEqual(await wire.next({ op: 'ping' }), { op: 'ping' })
  assert.deepEqual(wire.rest(), [{ op: 'y' }])
  await wire.close()
  assert.deepEqual(answers, ['pong', 'hello', 'pong'])
})

test('a Wire that is refused says so', async t => {
  const url = await serve(t, { verifyClient: () => false }, () => {})
  await assert.rejects(Wire.open(url), /401/)
})
