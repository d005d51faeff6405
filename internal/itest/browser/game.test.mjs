// examples/game, as people play it: each window is a browser context of its own.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import test, { after, before, describe } from 'node:test'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { root, startProgram } from './lib/program.mjs'
import { startProxy } from './lib/proxy.mjs'

const game = { pkg: './examples/game', args: ['-addr', 'localhost:0'] }
// Chromium logs each WebSocket that can't be opened, or is given up before it is.
const unreachable = /WebSocket connection to 'ws:.*failed|net::ERR_/

describe('the game', { skip: needsChromium }, () => {
  let program, chromium
  before(async () => {
    program = await startProgram(game)
    chromium = await launchChromium()
  })
  after(async () => {
    await chromium?.close()
    await program?.stop()
  })

  /** play opens a window, under a name, and resolves when they fly. */
  async function play(t, name, { url = program.url, ...options } = {}) {
    const page = await chromium.newPage(url, { viewport: { width: 800, height: 450 }, ...options }) // small, for a slow machine
    t.after(() => page.context().close())
    await enter(page, name)
    return page
  }

  async function enter(page, name) {
    await page.getByLabel('Name').fill(name)
    await page.getByRole('button', { name: 'Play' }).click()
    await flies(page)
  }

  const flies = page => page.waitForFunction(() => game.me !== 0 && game.pilot.ship)
  const me = page => page.evaluate(() => game.me)
  /** sees resolves when the newest world has a ship of that name, and returns it. */
  const sees = (page, name) => page.waitForFunction(name => {
    const [id] = Array.from(game.names).find(([, n]) => n === name) ?? []
    return game.timeline.newest?.ships.get(id)
  }, name).then(handle => handle.jsonValue())

  // A ship waits for ten seconds, which a slow machine may need for less than that.
  const away = (page, id) => page.waitForFunction(id => game.timeline.newest.ships.get(id)?.away !== false, id)
  /** hasWaited checks that a page flies the ship that it had or, if that was too long ago, that it is not there any more. */
  async function hasWaited(page, id) {
    if (await me(page) !== id) await page.waitForFunction(id => !game.timeline.newest.ships.has(id), id)
  }

  test('the page reads worlds, writes inputs and foresees as the server does', async t => {
    const page = await chromium.newPage(program.url)
    t.after(() => page.context().close())
    const vectors = JSON.parse(await readFile(path.join(root, 'examples/game/arena/testdata/vectors.json'), 'utf8'))
    await page.waitForFunction(() => globalThis.game)
    const got = await page.evaluate(async ({ World, Flight: { Start, Inputs }, Rules }) => {
      const { decodeWorld, encodeInput, foresee } = await import('./world.js')
      const { tick, ships, sparks } = decodeWorld(Uint8Array.from(atob(World), c => c.charCodeAt(0)))
      const input = encodeInput({ seq: 0x1234, dx: 1, dy: -1, dashes: 9 })
      const ship = { x: Start.X, y: Start.Y, vx: Start.VX, vy: Start.VY, score: 0, dashes: 0, rest: 0, stun: 5 }
      const ways = Inputs.map(([dx, dy, dashes]) => {
        const { x: X, y: Y, vx: VX, vy: VY } = foresee(ship, { dx, dy, dashes }, Rules)
        return { X, Y, VX, VY }
      })
      return { tick, ships: Array.from(ships.values()), sparks, input: btoa(String.fromCharCode(...input)), ways }
    }, vectors)
    assert.deepEqual([got.tick, got.ships, got.sparks, got.input], [vectors.Tick, vectors.Ships, vectors.Sparks, vectors.Input])
    assert.equal(got.ways.length, vectors.Flight.Ways.length)
    for (const [i, way] of got.ways.entries()) {
      for (const [name, n] of Object.entries(way)) assert.ok(Math.abs(n - vectors.Flight.Ways[i][name]) < 1e-6, `step ${i}: ${name} is ${n}`)
    }
    assert.deepEqual(await page.evaluate(() => game.rules), vectors.Rules)
  })

  test('others glide between the snapshots, and one’s own ship is where it will be', async t => {
    const page = await chromium.newPage(program.url)
    t.after(() => page.context().close())
    await page.waitForFunction(() => globalThis.game)
    const { others, errors, dashes, rtt } = await page.evaluate(async () => {
      const { foresee, Pilot, Timeline } = await import('./world.js')
      const ship = over => ({ id: 1, x: 1000, y: 1000, vx: 0, vy: 0, score: 0, ack: 0, dashes: 0, rest: 0, stun: 0, ...over })
      const world = (tick, s) => ({ tick, ships: new Map([[1, s]]), sparks: [] })

      // Snapshots that come up to 40 ms late, or not at all, of a ship that flies 3 units a tick.
      const timeline = new Timeline(30), others = []
      const late = [0, 31, 5, 40, 0, 12, 22, 0]
      const came = Array.from({ length: 90 }, (_, i) => ({ tick: i, at: i * 1000 / 30 + late[i % 8] })).filter(({ tick }) => tick % 11 !== 7)
      for (let now = 0, next = 0; now < 2900; now += 1000 / 60) {
        for (; next < came.length && came[next].at <= now; next++) timeline.push(world(came[next].tick, ship({ x: 3 * came[next].tick, vx: 90 })), came[next].at)
        if (now > 1000) others.push(timeline.at(now).ships[0].x)
      }

      // A server that is five steps away.
      const rules = game.rules, pilot = new Pilot(rules), errors = []
      const there = ship(), sent = [], back = []
      let rtt
      pilot.correct(there)
      for (let step = 0; step < 120; step++) {
        const now = step * 1000 / 30
        if (step === 30) pilot.dash()
        sent.push(pilot.press(step % 40 < 20 ? 1 : 0.3, step % 60 < 30 ? -0.5 : 1, now))
        const before = { ...pilot.ship }
        if (step >= 5) {
          const input = sent[step - 5]
          foresee(there, input, rules)
          there.ack = input.seq
          back.push({ ...there })
        }
        if (step >= 10) rtt = now - pilot.correct(back[step - 10])
        errors.push(Math.hypot(pilot.ship.x - before.x, pilot.ship.y - before.y))
      }
      return { others, errors, dashes: there.dashes, rtt }
    })
    const steps = others.slice(1).map((x, i) => x - others[i])
    for (const step of steps) assert.ok(step > 0.9 && step < 2.1, `a frame moves it by ${step}, not about 1.5`)
    assert.ok(Math.max(...errors) < 1e-6, `it was foreseen wrongly by ${Math.max(...errors)}`)
    assert.equal(dashes, 1)
    assert.ok(Math.abs(rtt - 10 * 1000 / 30) < 1e-6, `the round trip is measured as ${rtt} ms`)
  })

  test('people fly, see each other, and leave', async t => {
    const ada = await play(t, 'Ada')
    const bob = await play(t, '<b>Bob</b>')
    await sees(ada, '<b>Bob</b>')
    const before = await sees(bob, 'Ada')
    const way = before.x < 1500 ? ['d', 1] : ['a', -1]
    await ada.keyboard.down(way[0])
    await bob.waitForFunction(([id, x, sign]) => (game.timeline.newest.ships.get(id).x - x) * sign > 150, [before.id, before.x, way[1]])
    await ada.keyboard.up(way[0])
    const dashed = await ada.evaluate(() => game.timeline.newest.ships.get(game.me).dashes)
    await ada.keyboard.press('Space')
    await bob.waitForFunction(([id, n]) => game.timeline.newest.ships.get(id).dashes !== n, [before.id, dashed])

    // What is written around it.
    await ada.waitForFunction(() => /^\d+ ms$/.test(document.querySelector('#rtt').textContent))
    await ada.waitForFunction(() => /^[1-9]\d*\/s$/.test(document.querySelector('#snapshots').textContent))
    await ada.getByText('2 playing, 50 bots').waitFor()
    await ada.waitForFunction(() => document.querySelector('#table .me bdi').textContent === 'Ada')
    await ada.waitForFunction(() => /^\d+ sparks?, place \d+ of 52\. .* leads?/.test(document.querySelector('#summary').textContent))
    assert.equal(await ada.locator('#table b').count(), 0, 'names are text')

    const { id } = await sees(ada, '<b>Bob</b>')
    await bob.getByRole('button', { name: 'Leave' }).click()
    await bob.getByRole('button', { name: 'Play' }).waitFor()
    await away(ada, id)
    const was = await me(ada)
    await ada.reload()
    await flies(ada)
    await hasWaited(ada, was)
    chromium.check()
  })

  test('fifty bots and a player, at once', async t => {
    const page = await play(t, 'Ada')
    await page.waitForFunction(() => game.timeline.worlds.length > 20)
    const { ships, moved, ticks } = await page.evaluate(async () => {
      const places = () => new Map(game.timeline.at(performance.now()).ships.map(s => [s.id, s]))
      const before = places(), tick = game.timeline.newest.tick
      await new Promise(resolve => setTimeout(resolve, 1000))
      const after = places()
      const moved = Array.from(after.values()).filter(s => before.has(s.id) && Math.hypot(s.x - before.get(s.id).x, s.y - before.get(s.id).y) > 5)
      return { ships: after.size, moved: moved.length, ticks: game.timeline.newest.tick - tick }
    })
    assert.ok(ships >= 51, `${ships} ships`)
    assert.ok(moved > 40, `${moved} of them have moved, in ${ticks} steps`)
    chromium.check()
  })

  test('offline and back: the ship has waited', async t => {
    const proxy = await startProxy(program.url)
    t.after(() => proxy.close())
    const ada = await play(t, 'Ada')
    const bob = await play(t, 'Bob', { url: proxy.url })
    const id = await me(bob)
    proxy.cut() // first: offline, Chromium would not notice while worlds wait to be read
    await bob.context().setOffline(true)
    await bob.getByText('Reconnecting…').waitFor()
    await away(ada, id)
    proxy.heal()
    await bob.context().setOffline(false)
    await bob.waitForFunction(() => document.body.dataset.state === 'open')
    await bob.waitForFunction(() => game.timeline.newest.ships.get(game.me)?.away === false)
    await hasWaited(bob, id)
    const { x, id: now } = await sees(ada, 'Bob')
    await bob.keyboard.down(x < 1500 ? 'ArrowRight' : 'ArrowLeft')
    await ada.waitForFunction(([id, x]) => Math.abs(game.timeline.newest.ships.get(id).x - x) > 100, [now, x])
    chromium.check(unreachable)
  })

  test('the server is killed and started again: everybody flies on, in a new world', async t => {
    let server = await startProgram(game)
    t.after(() => server.stop())
    const { host } = new URL(server.url)
    const ada = await play(t, 'Ada', { url: server.url })
    const bob = await play(t, 'Bob', { url: server.url })
    await ada.waitForFunction(() => game.timeline.newest.tick > 30)
    await server.stop('SIGKILL')
    for (const page of [ada, bob]) await page.getByText('Reconnecting…').waitFor()
    server = await startProgram({ ...game, args: ['-addr', host] })
    for (const page of [ada, bob]) {
      await page.evaluate(() => dispatchEvent(new Event('online'))) // not after as long as it has waited by now
      await page.waitForFunction(() => document.body.dataset.state === 'open')
    }
    for (const [page, name] of [[ada, 'Bob'], [bob, 'Ada']]) {
      const { x, id } = await sees(page, name)
      await (page === ada ? bob : ada).keyboard.down(x < 1500 ? 'ArrowRight' : 'ArrowLeft')
      await page.waitForFunction(([id, x]) => Math.abs(game.timeline.newest.ships.get(id).x - x) > 50, [id, x])
    }
    chromium.check(unreachable)
  })

  test('whoever is faster than the script flies all the same', async t => {
    const page = await chromium.newPage()
    t.after(() => page.context().close())
    let load
    const wanted = new Promise(resolve => { load = resolve })
    await page.route('**/rules.json', async route => {
      await wanted
      await route.continue()
    })
    await page.goto(program.url, { waitUntil: 'commit' })
    const name = page.getByLabel('Name'), button = page.getByRole('button', { name: 'Play' })
    await button.waitFor()
    await name.fill('Ada')
    await name.press('Enter')
    load()
    await button.click() // as soon as it can be
    await flies(page)
    chromium.check()
  })

  test('on a phone, with fingers', async t => {
    const page = await play(t, 'Ada', { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true })
    const cdp = await page.context().newCDPSession(page)
    const touch = (type, ...places) => cdp.send('Input.dispatchTouchEvent', { type, touchPoints: places.map(([x, y], id) => ({ x, y, id })) })
    const { x } = await page.evaluate(() => game.pilot.ship), by = x < 1500 ? 80 : -80
    await touch('touchStart', [190, 500])
    await touch('touchMove', [190 + by, 500])
    await page.waitForFunction(([x, sign]) => (game.pilot.ship.x - x) * sign > 80, [x, by])
    const dashed = await page.evaluate(() => game.pilot.dashes)
    await touch('touchStart', [190 + by, 500], [100, 600])
    await page.waitForFunction(n => game.timeline.newest.ships.get(game.me).dashes !== n, dashed)
    await touch('touchEnd')
    assert.deepEqual(await page.evaluate(() => game.controls.direction()), [0, 0])
    await page.getByRole('button', { name: 'Dash' }).tap()
    await page.waitForFunction(n => game.pilot.dashes === (n + 2 & 255), dashed)
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, 'nothing sticks out')
    chromium.check()
  })

  test('a name that can not be shown is refused with the reason, and another one taken', async t => {
    const page = await chromium.newPage(program.url)
    t.after(() => page.context().close())
    await page.getByLabel('Name').fill('A\u202eda')
    await page.getByRole('button', { name: 'Play' }).click()
    await page.getByRole('alert').getByText('a name has 1 to 16 visible characters').waitFor()
    await enter(page, 'Ada')
  })
})
