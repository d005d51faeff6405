// A client written from the specification, over the npm package ws, against a hub: every frame is looked at as it is on the
// wire. The server is internal/itest/hubserver; its comment says what its topics are.
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { after, before, describe } from 'node:test'
import { itest, startProgram } from './lib/program.mjs'
import { Wire } from './lib/wire.mjs'

const hubserver = { dir: itest, pkg: './hubserver' }
const position = /^[0-9a-z]+\.[0-9a-z]+$/

describe('hotline.v1', () => {
  let server, ws
  before(async () => {
    server = await startProgram(hubserver)
    ws = server.url + 'ws'
  })
  after(() => server?.stop())

  /** join says hello with a subscription to each topic, and resolves when all have joined. */
  async function join(t, user, ...subs) {
    const wire = await Wire.open(ws, { token: user, subs: subs.map((sub, i) => ({ sub: i + 1, ...sub })) })
    t.after(() => wire.ws.terminate())
    wire.welcome = await wire.next()
    assert.equal(wire.welcome.op, 'welcome', 'welcome comes before all else')
    wire.oks = []
    for (const i of subs.keys()) wire.oks.push(await wire.next({ op: 'ok', sub: i + 1 }))
    return wire
  }

  test('the newer of the subprotocols offered is selected', async t => {
    const wire = await join(t, 'ada')
    assert.equal(wire.ws.protocol, 'hotline.v1')
  })

  test('welcome tells the limits', async t => {
    const { welcome } = await join(t, 'ada')
    assert.match(welcome.conn, /./)
    assert.equal(welcome.ping, 1000)
    assert.ok(welcome.grace > 0, `grace is ${welcome.grace}`)
    // What server code publishes may have 1 MiB, and there is a head around it.
    assert.deepEqual(welcome.max, { in: 65536, out: 1048576 + 8192, subs: 128 })
  })

  test('what is published is acknowledged and received, with one id', async t => {
    const ada = await join(t, 'ada', { topic: 'test.text' })
    const bob = await join(t, 'bob', { topic: 'test.*' })
    assert.match(ada.oks[0].at, position)
    ada.send({ op: 'pub', ref: 7, topic: 'test.text', data: { greeting: 'hé "\n' } })
    const ack = await ada.next({ op: 'ok', ref: 7 })
    assert.match(ack.id, position)
    for (const wire of [ada, bob]) {
      const message = await wire.next({ topic: 'test.text' })
      assert.deepEqual(message, { topic: 'test.text', id: ack.id, from: 'ada', data: { greeting: 'hé "\n' } })
    }
  })

  test('bytes travel as bytes', async t => {
    const ada = await join(t, 'ada', { topic: 'test.bytes' })
    for (const data of [Buffer.from([0, 10, 13, 255, 10]), Buffer.alloc(0), Buffer.alloc(70_000 >> 1, 0xfe)]) {
      ada.send({ op: 'pub', ref: 1, topic: 'test.bytes', data })
      const ack = await ada.next({ op: 'ok', ref: 1 })
      assert.deepEqual(await ada.next({ topic: 'test.bytes' }), { topic: 'test.bytes', id: ack.id, from: 'ada', data })
    }
  })

  test('a publish made again with its key is stored once', async t => {
    const ada = await join(t, 'ada', { topic: 'test.key' })
    for (const ref of [1, 2]) ada.send({ op: 'pub', ref, topic: 'test.key', key: 'k', data: ref })
    const ids = [(await ada.next({ op: 'ok', ref: 1 })).id, (await ada.next({ op: 'ok', ref: 2 })).id]
    assert.equal(ids[0], ids[1])
    ada.send({ op: 'pub', ref: 3, topic: 'test.key', data: 'end' })
    assert.equal((await ada.next({ topic: 'test.key' })).data, 1)
    assert.equal((await ada.next({ topic: 'test.key' })).data, 'end')
  })

  test('a subscription comes and goes while connected', async t => {
    const ada = await join(t, 'ada')
    ada.send({ op: 'sub', sub: 5, topic: 'test.later' })
    assert.match((await ada.next({ op: 'ok', sub: 5 })).at, position)
    ada.send({ op: 'unsub', sub: 5 })
    await ada.next({ op: 'end', sub: 5 })
    ada.send({ op: 'pub', ref: 1, topic: 'test.later', data: 1 })
    await ada.next({ op: 'ok', ref: 1 })
    assert.equal(ada.rest().find(frame => frame.topic === 'test.later'), undefined)
  })

  test('what is not allowed is denied, and the connection lives', async t => {
    const ada = await join(t, 'ada')
    ada.send({ op: 'sub', sub: 1, topic: 'secret.plans' })
    assert.equal((await ada.next({ op: 'end', sub: 1 })).code, 'denied')
    ada.send({ op: 'pub', ref: 1, topic: 'secret.plans', data: 1 })
    assert.equal((await ada.next({ op: 'err', ref: 1 })).code, 'denied')
    ada.send({ op: 'pub', ref: 2, topic: 'test.*', data: 1 })
    assert.equal((await ada.next({ op: 'err', ref: 2 })).code, 'invalid')
    ada.send({ op: 'dance', ref: 3 })
    assert.equal((await ada.next({ op: 'err', ref: 3 })).code, 'unknown')
    ada.send({ op: 'pub', ref: 4, topic: 'test.text', data: 1, field: 'that nobody knows' })
    await ada.next({ op: 'ok', ref: 4 })
  })

  test('replay comes tagged, before the ok', async t => {
    const ada = await join(t, 'ada')
    for (const ref of [1, 2, 3]) {
      ada.send({ op: 'pub', ref, topic: 'test.replay', data: ref })
      await ada.next({ op: 'ok', ref })
    }
    ada.send({ op: 'sub', sub: 1, topic: 'test.replay', replay: 2 })
    for (const data of [2, 3]) {
      const frame = await ada.next({ sub: 1 })
      assert.deepEqual([frame.topic, frame.data], ['test.replay', data])
    }
    assert.equal((await ada.next({ sub: 1 })).op, 'ok')
  })

  test('whoever comes back with a position gets what was published since, once', async t => {
    const ada = await join(t, 'ada')
    const bob = await join(t, 'bob', { topic: 'test.resume' })
    ada.send({ op: 'pub', ref: 1, topic: 'test.resume', data: 1 })
    const { id } = await bob.next({ topic: 'test.resume' })
    bob.ws.terminate()
    for (const ref of [2, 3]) ada.send({ op: 'pub', ref, topic: 'test.resume', data: ref })
    await ada.next({ op: 'ok', ref: 3 })

    const again = await Wire.open(ws, { token: 'bob', subs: [{ sub: 1, topic: 'test.resume', after: id }] })
    t.after(() => again.ws.terminate())
    assert.equal((await again.next({ topic: 'test.resume' })).data, 2)
    assert.equal((await again.next({ topic: 'test.resume' })).data, 3)
    await again.next({ op: 'ok', sub: 1 })
    ada.send({ op: 'pub', ref: 4, topic: 'test.resume', data: 4 })
    assert.equal((await again.next({ topic: 'test.resume' })).data, 4)
    assert.equal(again.rest().find(frame => frame.op === 'gap'), undefined, 'nothing was lost')
  })

  test('a publish that was cut is sent again on the next connection, and stored once', async t => {
    const bob = await join(t, 'bob', { topic: 'test.cut' })
    const publish = { op: 'pub', ref: 1, topic: 'test.cut', data: 1, key: 'cut' }
    for (let i = 0; i < 5; i++) { // whether one of these was stored, the client can't know
      const ada = await join(t, 'ada')
      ada.send(publish)
      ada.ws.terminate()
    }
    const ada = await join(t, 'ada')
    ada.send(publish)
    const { id } = await ada.next({ op: 'ok', ref: 1 })
    ada.send({ op: 'pub', ref: 2, topic: 'test.cut', data: 2 })
    assert.deepEqual(await bob.next({ topic: 'test.cut' }), { topic: 'test.cut', id, from: 'ada', data: 1 })
    assert.equal((await bob.next({ topic: 'test.cut' })).data, 2)
  })

  test('a position that nobody can prove is answered with a gap', async t => {
    const ada = await Wire.open(ws, { token: 'ada', subs: [{ sub: 1, topic: 'test.gap', after: '1.0000000' }] })
    t.after(() => ada.ws.terminate())
    const gap = await ada.next({ op: 'gap' })
    assert.deepEqual(gap.subs, [1])
    assert.match(gap.at, position)
    await ada.next({ op: 'ok', sub: 1 })
  })

  test('a State value is there at once, and its absence is told', async t => {
    const ada = await join(t, 'ada')
    ada.send({ op: 'pub', ref: 1, topic: 'state.price', data: 42 })
    await ada.next({ op: 'ok', ref: 1 })
    ada.send({ op: 'sub', sub: 1, topic: 'state.*' })
    const value = await ada.next({ topic: 'state.price' })
    assert.deepEqual([value.sub, value.data, value.id], [1, 42, undefined])
    assert.ok(value.rev, 'a State value has a rev')
    await ada.next({ op: 'ok', sub: 1 })
    ada.send({ op: 'pub', ref: 2, topic: 'state.price', data: null })
    const gone = await ada.next({ topic: 'state.price' })
    assert.deepEqual([gone.gone, gone.data], [true, undefined])
  })

  test('a Presence value goes with its connection', async t => {
    const bob = await join(t, 'bob', { topic: 'presence.*' })
    const ada = await join(t, 'ada')
    ada.send({ op: 'pub', ref: 1, topic: 'presence.ada', data: 'here' })
    assert.equal((await ada.next({ op: 'ok', ref: 1 })).held, true)
    assert.equal((await bob.next({ topic: 'presence.ada' })).data, 'here')
    ada.ws.terminate()
    assert.equal((await bob.next({ topic: 'presence.ada' })).gone, true)
  })

  test('a signal is not acknowledged, and has no id', async t => {
    const ada = await join(t, 'ada', { topic: 'signal.*' })
    ada.send({ op: 'pub', topic: 'signal.typing', data: true })
    assert.deepEqual(await ada.next({ topic: 'signal.typing' }), { topic: 'signal.typing', from: 'ada', data: true })
    ada.send({ op: 'pub', ref: 1, topic: 'test.text', data: 1 })
    await ada.next({ op: 'ok', ref: 1 })
    assert.deepEqual(ada.rest().filter(frame => frame.op !== 'at'), [])
  })

  test('WebSocket pings are answered with their payload', async t => {
    const ada = await join(t, 'ada')
    const pong = new Promise(resolve => ada.ws.once('pong', resolve))
    ada.ws.ping('are you there?')
    assert.equal(String(await pong), 'are you there?')
  })

  test('the hub pings, after telling an idle connection its position', async t => {
    const ada = await join(t, 'ada', { topic: 'test.idle' })
    const bob = await join(t, 'bob')
    bob.send({ op: 'pub', ref: 1, topic: 'test.elsewhere', data: 1 })
    const { id } = await bob.next({ op: 'ok', ref: 1 })
    for (let i = 0; i < 3; i++) await ada.next({ op: 'ping' })
    assert.equal((await ada.next({ op: 'at' })).at, id)
    assert.equal(ada.ws.readyState, ada.ws.OPEN)
  })

  describe('close codes', () => {
    const closes = async (t, wire, code) => {
      t.after(() => wire.ws.terminate())
      assert.equal((await Promise.race([wire.closed, sleep(5_000, { code: 'open after 5 s' }, { ref: false })])).code, code)
    }

    test('as the application asks', async t => {
      const ada = await join(t, 'ada')
      ada.send({ op: 'pub', ref: 1, topic: 'close.me', data: 1 })
      await closes(t, ada, 4000)
      assert.equal((await ada.closed).reason, 'as asked')
    })
    test('an identity that is refused', async t => closes(t, await Wire.open(ws, { token: '' }), 3500))
    test('a version that the hub does not speak', async t => {
      const wire = new Wire(ws, ['hotline.v9', 'hotline'])
      await wire.opened
      assert.equal(wire.ws.protocol, 'hotline')
      await closes(t, wire, 3501)
    })
    test('a second hello', async t => {
      const ada = await join(t, 'ada')
      ada.send({ op: 'hello', token: 'ada' })
      await closes(t, ada, 3502)
    })
    test('a first frame that is no hello', async t => {
      const wire = new Wire(ws)
      await wire.opened
      wire.send({ op: 'pub', ref: 1, topic: 'test.text', data: 1 })
      await closes(t, wire, 3502)
    })
    test('no JSON', async t => {
      const ada = await join(t, 'ada')
      ada.ws.send('not JSON')
      await closes(t, ada, 3502)
    })
    test('text that is not UTF-8', async t => {
      const ada = await join(t, 'ada')
      ada.ws.send(Buffer.from('{"op":"pub","ref":1,"topic":"test.text","data":"\xff"}', 'latin1'), { binary: false })
      await closes(t, ada, 1007)
    })
    test('a message over the limit', async t => {
      const ada = await join(t, 'ada')
      ada.send({ op: 'pub', ref: 1, topic: 'test.text', data: 'x'.repeat(65536) })
      await closes(t, ada, 1009)
    })
    test('the client leaves', async t => {
      const ada = await join(t, 'ada')
      assert.equal((await ada.close()).code, 1000)
    })
  })

  test('a foreign page is refused before the upgrade', async () => {
    const wire = new Wire(ws, ['hotline.v1', 'hotline'], { origin: 'https://evil.example' })
    await assert.rejects(wire.opened, /403/)
  })
})

test('Shutdown says when to come back', async () => {
  const server = await startProgram(hubserver)
  const wire = await Wire.open(server.url + 'ws', { token: 'ada' })
  await wire.next({ op: 'welcome' })
  const stopped = server.stop()
  const bye = await wire.next({ op: 'bye' })
  assert.equal(bye.code, 1012)
  assert.ok(Number.isInteger(bye.retry) && bye.retry >= 0, `retry is ${bye.retry}`)
  assert.equal((await wire.closed).code, 1012)
  assert.deepEqual(await stopped, { code: 0, signal: null })
})
