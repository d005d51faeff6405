// examples/whiteboard, as people use it: each window is a browser context of its own.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import test, { after, before, describe } from 'node:test'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { root, startProgram } from './lib/program.mjs'
import { startProxy } from './lib/proxy.mjs'

const whiteboard = { pkg: './examples/whiteboard', args: ['-addr', 'localhost:0'] }
// Chromium logs each WebSocket that can't be opened, or is given up before it is, and requests that fail.
const unreachable = /WebSocket connection to 'ws:.*failed|net::ERR_/

describe('the whiteboard', { skip: needsChromium }, () => {
  let program, chromium
  before(async () => {
    program = await startProgram(whiteboard)
    chromium = await launchChromium()
  })
  after(async () => {
    await chromium?.close()
    await program?.stop()
  })

  /** join opens a window, under a name, and resolves when they can draw. */
  async function join(t, name, { url = program.url, ...options } = {}) {
    const page = await chromium.newPage(url, { viewport: { width: 900, height: 600 }, ...options })
    t.after(() => page.context().close())
    await enter(page, name)
    return page
  }

  async function enter(page, name) {
    await page.getByLabel('Name').fill(name)
    await page.getByRole('button', { name: 'Draw' }).click()
    await page.waitForFunction(() => document.body.classList.contains('drawing') && whiteboard.me && whiteboard.loads > 0)
  }

  async function clear(page) {
    if (await page.evaluate(() => whiteboard.model.strokes.length) === 0) return // else what is drawn next could be cleared, too
    await page.getByRole('button', { name: 'Clear the board' }).click()
    await page.getByRole('button', { name: 'Clear it' }).click()
    await strokes(page, 0)
  }

  /** drag draws through places of the page, the last one without lifting the pen if held. */
  async function drag(page, places, held = false) {
    await page.mouse.move(...places[0])
    await page.mouse.down()
    for (const [x, y] of places.slice(1)) await page.mouse.move(x, y, { steps: 3 })
    if (!held) await page.mouse.up()
  }

  /** strokes resolves when so many are on the board, and nothing of our own is on its way. */
  const strokes = (page, n) => page.waitForFunction(n => whiteboard.model.strokes.length === n && whiteboard.pending.size === 0, n)
  const hash = page => page.evaluate(() => whiteboard.model.hash())
  const pixels = page => page.evaluate(() => whiteboard.picture.pixels())

  /** same checks that all pages, and the snapshot, have the same strokes and pixels. */
  async function same(...pages) {
    const [first, ...others] = await Promise.all(pages.map(async page => ({ hash: await hash(page), pixels: await pixels(page) })))
    for (const other of others) assert.deepEqual(other, first)
    const served = await pages[0].evaluate(async () => {
      const { strokes } = await (await fetch('snapshot')).json()
      const { Model } = await import('./model.js')
      const model = new Model(await (await fetch('limits.json')).json())
      model.replace(strokes)
      return model.hash()
    })
    assert.equal(served, first.hash, 'of the server')
    return first
  }

  test('the model is that of the server', async t => {
    const page = await join(t, 'Ada')
    const vectors = JSON.parse(await readFile(path.join(root, 'examples/whiteboard/board/testdata/vectors.json'), 'utf8'))
    const hashes = await page.evaluate(async ({ Limits, Log }) => {
      const { Model } = await import('./model.js')
      const model = new Model(Limits)
      return Log.map(({ from, op }) => { model.apply(from, op); return model.hash() })
    }, vectors)
    assert.deepEqual(hashes, vectors.Hashes)
    const kept = await page.evaluate(async limits => {
      const { Model } = await import('./model.js')
      const model = new Model({ ...limits, maxStrokes: 3, maxPoints: 7 })
      const draw = (id, points) => model.apply('ada', { draw: { id, pen: 0, width: 1, points: new Array(3 * points).fill(0) } })
      const added = ['a', 'b', 'c', 'd'].map(id => draw(id, 1)?.id)
      draw('e', 6)
      return [added, model.strokes.map(s => s.id), model.points]
    }, vectors.Limits)
    assert.deepEqual(kept, [['a', 'b', 'c', undefined], ['d', 'e'], 7], 'the oldest go first')
  })

  test('two people draw at once, and see the same', async t => {
    const ada = await join(t, 'Ada')
    const bob = await join(t, 'Bob')
    await clear(ada)
    await ada.getByLabel('Red').check({ force: true })
    await bob.getByLabel('Very broad').check({ force: true })
    await Promise.all([
      (async () => { for (let i = 0; i < 4; i++) await drag(ada, [[200, 120 + 60 * i], [700, 160 + 60 * i]]) })(),
      (async () => { for (let i = 0; i < 4; i++) await drag(bob, [[220 + 99 * i, 110], [250 + 99 * i, 400]]) })(),
    ])
    for (const page of [ada, bob]) await strokes(page, 8)
    const { pixels: { inked } } = await same(ada, bob)
    assert.ok(inked > 10_000, `${inked} pixels`)
    const eve = await join(t, 'Eve') // by the snapshot
    await strokes(eve, 8)
    await same(ada, bob, eve)

    // One's own last stroke, and nobody else's.
    await bob.getByRole('button', { name: 'Undo my last stroke' }).click()
    await ada.keyboard.press('Control+z')
    for (const page of [ada, bob, eve]) await strokes(page, 6)
    await same(ada, bob, eve)
    await eve.getByRole('button', { name: 'Undo my last stroke' }).click()
    await eve.getByText('There is nothing of yours to undo').waitFor()

    // An eraser takes away what was below it, and a reload has it all.
    await eve.getByLabel('Eraser').check({ force: true })
    await eve.getByLabel('Very broad').check({ force: true })
    await drag(eve, [[150, 250], [750, 250]])
    for (const page of [ada, bob, eve]) await strokes(page, 7)
    const erased = await same(ada, bob, eve)
    assert.ok(erased.pixels.inked < inked)
    await ada.reload()
    await ada.waitForFunction(() => document.body.classList.contains('drawing') && whiteboard.me)
    await strokes(ada, 7)
    assert.deepEqual(await same(ada, bob), erased)
    await ada.keyboard.press('Control+z')
    for (const page of [ada, bob]) await strokes(page, 6)
    chromium.check()
  })

  test('a stroke shows while it is drawn, with the pen of who draws it', async t => {
    const ada = await join(t, '<b>Ada</b>')
    const bob = await join(t, 'Bob')
    await clear(bob)
    await drag(ada, [[300, 200], [350, 300], [500, 320]], true)
    await bob.waitForFunction(() => whiteboard.picture.unfinished[0]?.points.length >= 12)
    assert.equal(await bob.evaluate(() => whiteboard.model.strokes.length), 0)
    assert.equal(await bob.locator('.pen bdi').textContent(), '<b>Ada</b>')
    await bob.waitForFunction(() => {
      const { e, f } = new DOMMatrix(getComputedStyle(document.querySelector('.pen')).transform)
      return Math.abs(e - 500) < 3 && Math.abs(f - 320) < 3
    })
    await ada.mouse.up()
    await strokes(bob, 1)
    await bob.waitForFunction(() => whiteboard.picture.unfinished.length === 0)
    await same(ada, bob)
    // Who goes takes their pen along.
    await bob.getByRole('img', { name: '<b>Ada</b>' }).waitFor()
    await ada.context().close()
    await bob.waitForFunction(() => !document.querySelector('.pen'))
    chromium.check()
  })

  test('what is drawn offline arrives, and nothing is missed', async t => {
    const proxy = await startProxy(program.url)
    t.after(() => proxy.close())
    const ada = await join(t, 'Ada')
    const bob = await join(t, 'Bob', { url: proxy.url })
    await clear(ada)
    await drag(ada, [[200, 120], [700, 130]])
    for (const page of [ada, bob]) await strokes(page, 1)

    await bob.context().setOffline(true)
    proxy.cut()
    await bob.getByText('Offline. What you draw waits').waitFor()
    await drag(bob, [[300, 100], [320, 400]])
    await drag(bob, [[400, 100], [420, 400]])
    await drag(bob, [[500, 100], [520, 400]])
    await bob.getByRole('button', { name: 'Undo my last stroke' }).click()
    assert.equal(await bob.evaluate(() => whiteboard.picture.unfinished.length), 2, 'it shows, and the undone one does not')
    await ada.getByLabel('Blue').check({ force: true })
    for (let i = 0; i < 5; i++) await drag(ada, [[200, 180 + 40 * i], [700, 190 + 40 * i]])
    await ada.keyboard.press('Control+z')
    await strokes(ada, 5)
    assert.equal(await bob.evaluate(() => whiteboard.model.strokes.length), 1)
    proxy.heal()
    await bob.context().setOffline(false)

    for (const page of [ada, bob]) await strokes(page, 7)
    await same(ada, bob)
    await drag(ada, [[250, 110], [650, 410]])
    for (const page of [ada, bob]) await strokes(page, 8)
    await same(ada, bob, await join(t, 'Eve'))
    chromium.check(unreachable)
  })

  test('the server is killed and started again: the board begins anew, for all, with what was drawn meanwhile', async t => {
    let server = await startProgram(whiteboard)
    t.after(() => server.stop())
    const { host } = new URL(server.url)
    const ada = await join(t, 'Ada', { url: server.url })
    const bob = await join(t, 'Bob', { url: server.url })
    await drag(ada, [[200, 120], [700, 130]])
    await strokes(bob, 1)
    await server.stop('SIGKILL')
    for (const page of [ada, bob]) await page.getByText('Offline. What you draw waits').waitFor()
    await drag(ada, [[200, 200], [700, 210]])
    await drag(bob, [[200, 300], [700, 310]])
    server = await startProgram({ ...whiteboard, args: ['-addr', host] })
    for (const page of [ada, bob]) {
      await page.evaluate(() => dispatchEvent(new Event('online'))) // not after as long as it has waited by now
      await page.getByText('The server was restarted').waitFor()
    }
    for (const page of [ada, bob]) await strokes(page, 2)
    await same(ada, bob)
    await drag(ada, [[200, 400], [700, 410]])
    for (const page of [ada, bob]) await strokes(page, 3)
    await same(ada, bob)
    chromium.check(unreachable)
  })

  test('with the keyboard, a pen that feels pressure, and fingers', async t => {
    const page = await join(t, 'Ada', { hasTouch: true })
    const cdp = await page.context().newCDPSession(page)
    await clear(page)
    await page.getByRole('application', { name: 'Board' }).focus()
    for (const key of ['ArrowRight', ' ', 'ArrowRight', 'ArrowRight', 'ArrowDown', ' ']) await page.keyboard.press(key)
    await strokes(page, 1)
    const { points, pen } = await page.evaluate(() => whiteboard.model.strokes[0])
    assert.deepEqual({ points, pen }, { points: [4100, 2500, 128, 4200, 2500, 128, 4300, 2500, 128, 4300, 2600, 128], pen: 0 })

    const mouse = (type, x, force) => cdp.send('Input.dispatchMouseEvent',
      { type, x, y: 200, force, pointerType: 'pen', button: 'left', buttons: type === 'mouseReleased' ? 0 : 1, clickCount: 1 })
    await mouse('mousePressed', 300, 0.2)
    for (let i = 1; i <= 5; i++) await mouse('mouseMoved', 300 + 20 * i, 0.2 * i)
    await mouse('mouseReleased', 400, 0)
    await strokes(page, 2)
    const pressed = (await page.evaluate(() => whiteboard.model.strokes[1].points)).filter((_, i) => i % 3 === 2)
    assert.deepEqual(pressed, [51, 51, 102, 153, 204, 255])

    const touch = (type, ...places) => cdp.send('Input.dispatchTouchEvent', { type, touchPoints: places.map(([x, y], id) => ({ x, y, id })) })
    await touch('touchStart', [300, 300])
    await touch('touchMove', [350, 320])
    await touch('touchMove', [400, 340])
    await touch('touchEnd')
    await strokes(page, 3)
    // A second finger makes it a movement of the sheet, and no stroke.
    const scale = await page.evaluate(() => whiteboard.picture.view.scale)
    await touch('touchStart', [300, 300])
    await touch('touchStart', [300, 300], [400, 300])
    await touch('touchMove', [250, 300], [450, 300])
    await touch('touchEnd')
    await page.waitForFunction(scale => whiteboard.picture.view.scale > 1.5 * scale, scale)
    await page.getByRole('button', { name: 'The whole board' }).click()
    assert.equal(await page.evaluate(() => whiteboard.model.strokes.length + whiteboard.pending.size), 3)
    chromium.check()
  })

  test('a name that can not be shown is refused with the reason, and another one taken', async t => {
    const page = await chromium.newPage(program.url)
    t.after(() => page.context().close())
    await page.getByLabel('Name').fill('A\u202eda')
    await page.getByRole('button', { name: 'Draw' }).click()
    await page.getByRole('alert').getByText('a name has 1 to 20 visible characters').waitFor()
    await enter(page, 'Ada')
    chromium.check()
  })

  test('on a phone nothing sticks out', async t => {
    const page = await join(t, 'Ada', { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true })
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false)
    for (const name of ['Undo my last stroke', 'Clear the board', 'Leave']) {
      const box = await page.getByRole('button', { name }).boundingBox()
      assert.ok(box.x >= 0 && box.x + box.width <= 390 && box.y + box.height <= 844, name)
    }
  })
})
