// examples/chat, as people use it: each window is a browser context of its own.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import test, { after, before, describe } from 'node:test'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { startProgram } from './lib/program.mjs'
import { startProxy } from './lib/proxy.mjs'
import { Wire } from './lib/wire.mjs'

const chat = { pkg: './examples/chat', args: ['-addr', 'localhost:0'] }
// Chromium logs each WebSocket that can't be opened, or is given up before it is.
const unreachable = /WebSocket connection to 'ws:.*failed|net::ERR_/

describe('the chat', { skip: needsChromium }, () => {
  let program, chromium, rooms = 0
  before(async () => {
    program = await startProgram(chat)
    chromium = await launchChromium()
  })
  after(async () => {
    await chromium?.close()
    await program?.stop()
  })

  /** join opens a window, under a name, and resolves when they are in the room. */
  async function join(t, name, room, { url = program.url, ...options } = {}) {
    const page = await chromium.newPage(url, options)
    t.after(() => page.context().close())
    await enter(page, name, room)
    return page
  }

  async function enter(page, name, room) {
    await page.getByLabel('Name').fill(name)
    await page.getByLabel('Room', { exact: true }).fill(room)
    await page.getByRole('button', { name: 'Join' }).click()
    await isHere(page, name)
  }

  const newRoom = () => `room ${++rooms}` // of this test alone
  const isHere = (page, name) => page.waitForFunction(
    name => Array.from(document.querySelectorAll('#people bdi'), e => e.textContent).includes(name), name)
  const isGone = (page, name) => page.waitForFunction(
    name => !Array.from(document.querySelectorAll('#people bdi'), e => e.textContent).includes(name), name)
  const state = (page, want) => page.waitForFunction(want => document.body.dataset.state === want, want)

  async function say(page, text) {
    await page.getByLabel('Message', { exact: true }).fill(text)
    await page.keyboard.press('Enter')
  }

  /** hears resolves when these lines, and no others, are in the room; none of them is on its way any more. */
  async function hears(page, ...texts) {
    await page.waitForFunction(want => {
      const lines = Array.from(document.querySelectorAll('#log .line:not(.pending, .failed) .text'), e => e.textContent)
      return lines.length >= want.length && !document.querySelector('#log .pending')
    }, texts)
    assert.deepEqual(await page.locator('#log .line .text').allTextContents(), texts)
  }

  const notes = page => page.locator('#log .note').allTextContents()

  test('people see each other, and what they say', async t => {
    const room = newRoom()
    const ada = await join(t, 'Ada', room)
    const bob = await join(t, 'Bob', room)
    for (const page of [ada, bob]) for (const name of ['Ada', 'Bob']) await isHere(page, name)
    await say(ada, 'hello')
    await say(ada, 'is anybody there?')
    await hears(bob, 'hello', 'is anybody there?')
    await hears(ada, 'hello', 'is anybody there?')
    assert.deepEqual(await bob.locator('#log .line:not(.more) .who').allTextContents(), ['Ada'], 'her lines share a head')
    await say(bob, 'yes')
    for (const page of [ada, bob]) await hears(page, 'hello', 'is anybody there?', 'yes')

    await bob.getByRole('button', { name: 'Leave' }).click()
    await isGone(ada, 'Bob')
    await enter(bob, 'Robert', room)
    await isHere(ada, 'Robert')
    await hears(bob, 'hello', 'is anybody there?', 'yes')
    chromium.check()
  })

  test('who is typing shows, until they have said it', async t => {
    const room = newRoom()
    const ada = await join(t, 'Ada', room)
    const bob = await join(t, 'Bob', room)
    await isHere(ada, 'Bob')
    await ada.getByLabel('Message', { exact: true }).pressSequentially('well')
    await bob.getByText('Ada is typing').waitFor()
    assert.equal(await ada.locator('#typing').textContent(), '', 'not to herself')
    await ada.keyboard.press('Enter')
    await hears(bob, 'well')
    await bob.waitForFunction(() => document.querySelector('#typing').textContent === '')
  })

  test('a newcomer sees the last 50 messages', async t => {
    const room = newRoom(), topic = 'chat.' + room.replace(' ', '%20')
    const wire = await Wire.open(program.url + 'chat/ws', { token: 'Ada' })
    t.after(() => wire.ws.terminate())
    for (let ref = 1; ref <= 60; ref++) wire.send({ op: 'pub', ref, topic, data: `line ${ref}` })
    await wire.next({ op: 'ok', ref: 60 })
    const bob = await join(t, 'Bob', room)
    await hears(bob, ...Array.from({ length: 50 }, (_, i) => `line ${i + 11}`))
    assert.equal(await bob.title(), `${room} · hotline chat`, 'what is past is not unread')
  })

  test('rooms keep their drafts, and count what is unread', async t => {
    const [room, other] = [newRoom(), newRoom()]
    const ada = await join(t, 'Ada', room)
    const bob = await join(t, 'Bob', room)
    await bob.getByLabel('Message', { exact: true }).fill('half a thought')
    await bob.getByLabel('Another room').fill(other)
    await bob.keyboard.press('Enter')
    await bob.getByRole('heading', { name: other }).waitFor()
    assert.equal(await bob.getByLabel('Message', { exact: true }).inputValue(), '')
    await isGone(ada, 'Bob')
    await say(ada, 'one')
    await say(ada, 'two')
    await bob.getByRole('link', { name: `${room} 2 unread` }).click()
    await hears(bob, 'one', 'two')
    assert.equal(await bob.locator('#log .mark + .line .text').textContent(), 'one', 'the first new one is marked')
    assert.equal(await bob.getByLabel('Message', { exact: true }).inputValue(), 'half a thought')
    await bob.waitForFunction(title => document.title === title, `${room} · hotline chat`)
  })

  test('two windows of one person', async t => {
    const room = newRoom()
    const first = await join(t, 'Ada', room)
    const second = await join(t, 'Ada', room)
    const bob = await join(t, 'Bob', room)
    await say(first, 'same')
    await hears(second, 'same')
    await say(second, 'same')
    for (const page of [first, second, bob]) await hears(page, 'same', 'same')
    await second.getByRole('button', { name: 'Leave' }).click()
    await say(first, 'still here')
    await hears(bob, 'same', 'same', 'still here')
    assert.deepEqual(await bob.locator('#people bdi').allTextContents(), ['Ada', 'Bob'])
  })

  test('what was written while offline is said once, and nothing is missed', async t => {
    const proxy = await startProxy(program.url)
    t.after(() => proxy.close())
    const room = newRoom()
    const ada = await join(t, 'Ada', room)
    const bob = await join(t, 'Bob', room, { url: proxy.url })
    await say(ada, 'one')
    await hears(bob, 'one')

    await bob.context().setOffline(true)
    proxy.cut()
    await bob.getByText('Reconnecting').waitFor()
    await say(bob, 'written offline')
    await say(bob, 'and this')
    await bob.locator('.pending').nth(1).waitFor()
    // More than a newcomer would be sent.
    const eve = await Wire.open(program.url + 'chat/ws', { token: 'Eve' })
    t.after(() => eve.ws.terminate())
    const much = Array.from({ length: 70 }, (_, i) => `line ${i + 1}`)
    for (const [i, data] of much.entries()) eve.send({ op: 'pub', ref: i, topic: 'chat.' + room.replace(' ', '%20'), data })
    await hears(ada, 'one', ...much)
    proxy.heal()
    await bob.context().setOffline(false)

    await state(bob, 'open')
    for (const page of [ada, bob]) await hears(page, 'one', ...much, 'written offline', 'and this')
    for (const name of ['Ada', 'Bob']) await isHere(bob, name)
    await say(ada, 'two')
    for (const page of [ada, bob]) await hears(page, 'one', ...much, 'written offline', 'and this', 'two')
    assert.deepEqual([...await notes(ada), ...await notes(bob)], [])
    chromium.check(unreachable)
  })

  test('what can not be had any more is told, and how much it was', async t => {
    const proxy = await startProxy(program.url)
    t.after(() => proxy.close())
    const room = newRoom(), topic = 'chat.' + room.replace(' ', '%20')
    const bob = await join(t, 'Bob', room, { url: proxy.url })
    const wires = await Promise.all(Array.from({ length: 50 }, (_, i) => Wire.open(program.url + 'chat/ws', { token: `Eve ${i}` })))
    t.after(() => wires.forEach(w => w.ws.terminate()))
    const [eve] = wires
    const say = async (w, texts, to) => {
      texts.forEach((data, ref) => w.send({ op: 'pub', ref, topic: to, data }))
      for (const ref of texts.keys()) await w.next({ op: 'ok', ref }, 30_000)
    }
    await say(eve, ['heard'], topic)
    await hears(bob, 'heard')
    proxy.cut()
    await bob.getByText('Reconnecting').waitFor()
    const lines = Array.from({ length: 62 }, (_, i) => `line ${i + 1}`)
    await say(eve, lines, topic)
    // More than the hub's log holds, in other rooms: of this one only the last 50 are kept.
    const much = Array(190).fill('\u{1f98a}'.repeat(2000))
    await Promise.all(wires.slice(1).map((w, i) => say(w, much, `chat.flood${i}`)))
    proxy.heal()
    await hears(bob, 'heard', ...lines.slice(12))
    assert.deepEqual(await notes(bob), ['You missed 12 messages here'])
    chromium.check(unreachable)
  })

  test('a link that swallows everything is given up, and what was sent into it is said once', async t => {
    const proxy = await startProxy(program.url)
    t.after(() => proxy.close())
    const room = newRoom()
    const ada = await join(t, 'Ada', room)
    const bob = await chromium.newPage()
    t.after(() => bob.context().close())
    await bob.clock.install()
    await bob.goto(proxy.url)
    await enter(bob, 'Bob', room)
    proxy.deafen()
    await say(bob, 'this arrives, but he is not told')
    await hears(ada, 'this arrives, but he is not told')
    proxy.blackhole()
    await say(bob, 'is this on?')
    await bob.clock.fastForward(30_000)
    assert.equal(await bob.getAttribute('body', 'data-state'), 'open', 'a ping may be late by the grace')
    await bob.clock.fastForward(6_000)
    await state(bob, 'connecting')
    proxy.heal()
    await bob.clock.fastForward(20_000) // no delay is longer
    await state(bob, 'open')
    for (const page of [ada, bob]) await hears(page, 'this arrives, but he is not told', 'is this on?')
    chromium.check(unreachable)
  })

  test('markup in names, rooms and messages is text', async t => {
    const img = '<img src=x onerror=alert(1)>', script = '"><script>alert(2)</script><svg/onload=alert(3)>'
    const ada = await join(t, img, '<b onclick=alert(4)>room</b>')
    const bob = await join(t, "<a href='javascript:alert(5)'>", '<b onclick=alert(4)>room</b>')
    const alerts = []
    for (const page of [ada, bob]) page.on('dialog', dialog => alerts.push(dialog.message()) && dialog.dismiss())
    await ada.getByLabel('Message', { exact: true }).pressSequentially('x')
    await bob.getByText(`${img} is typing`).waitFor()
    await say(ada, script)
    for (const page of [ada, bob]) {
      await hears(page, script)
      assert.equal(await page.locator('#log .who').first().textContent(), img)
      const made = await page.locator('#chat').evaluate(chat =>
        chat.querySelectorAll('script, b, svg[onload], img[onerror], [onclick], a:not([href^="#"], .brand)').length)
      assert.equal(made, 0)
    }
    assert.deepEqual(alerts, [])
    chromium.check(unreachable)
  })

  test('a room in the address is cut off between characters', async t => {
    const page = await join(t, 'Ada', newRoom()), name = 'x'.repeat(39)
    await page.evaluate(hash => { location.hash = hash }, encodeURIComponent(name + '🦊'))
    await page.getByRole('heading', { name }).waitFor()
    await isHere(page, 'Ada')
    assert.equal(await page.locator('#rooms [aria-current] bdi').textContent(), name)
    chromium.check()
  })

  test('a name that can not be shown is refused with the reason, and another one taken', async t => {
    const page = await chromium.newPage(program.url)
    t.after(() => page.context().close())
    await page.getByLabel('Name').fill('A\u202eda')
    await page.getByRole('button', { name: 'Join' }).click()
    await page.getByRole('alert').getByText('a name has 1 to 30 visible characters').waitFor()
    await enter(page, 'Ada', newRoom())
  })

  test('a text that is too long is not cut off, and not sent', async t => {
    const page = await join(t, 'Ada', newRoom())
    const text = page.getByLabel('Message', { exact: true }), send = page.getByRole('button', { name: 'Send' })
    await text.fill('🦊'.repeat(2001))
    await page.getByText('-1', { exact: true }).waitFor()
    assert.equal(await send.isDisabled(), true)
    await page.keyboard.press('Enter')
    await text.fill('🦊'.repeat(2000))
    await send.click()
    await hears(page, '🦊'.repeat(2000))
  })

  test('on a phone rooms and people are behind a button, also for the keyboard', async t => {
    const page = await join(t, 'Ada', newRoom(), { viewport: { width: 380, height: 700 }, isMobile: true, hasTouch: true })
    const menu = page.getByRole('button', { name: 'Rooms and people' })
    assert.equal(await page.getByRole('link').count(), 0)
    await menu.press('Enter')
    await page.getByRole('link').first().waitFor()
    await page.waitForFunction(() => document.activeElement.matches('#rooms a'))
    await page.keyboard.press('Escape')
    await page.waitForFunction(() => document.activeElement.id === 'menu')
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)
    assert.equal(wide, false, 'nothing sticks out')
  })

  // Row 7 of the failure table, in a browser: a page on another port is another origin.
  test('a page of another origin is refused', async t => {
    const server = createServer((_, res) => res.setHeader('Content-Type', 'text/html').end('<!doctype html><title>evil</title>'))
    server.listen(0, 'localhost')
    await once(server, 'listening')
    t.after(() => server.close().closeAllConnections())
    const outcome = (page, url) => page.evaluate(url => new Promise(resolve => {
      const ws = new WebSocket(url, ['hotline.v1', 'hotline'])
      ws.onopen = () => resolve('open')
      ws.onclose = e => resolve(e.code)
    }), url)
    const ws = program.url.replace('http', 'ws') + 'chat/ws'
    const evil = await chromium.newPage(`http://localhost:${server.address().port}/`)
    const good = await chromium.newPage(program.url)
    t.after(() => Promise.all([evil, good].map(page => page.context().close())))
    assert.equal(await outcome(good, ws), 'open')
    assert.equal(await outcome(evil, ws), 1006)
    assert.match(program.log(), new RegExp(`refused a connection.*localhost:${server.address().port}`))
    chromium.check(/unexpected response code: 403/i)
  })

  test('SIGINT drains, and everybody comes back to the server that is started again', async t => {
    let server = await startProgram(chat)
    t.after(() => server.stop())
    const { host } = new URL(server.url)
    const proxy = await startProxy(server.url)
    t.after(() => proxy.close())
    const ada = await join(t, 'Ada', 'lobby', { url: proxy.url })
    const bob = await join(t, 'Bob', 'lobby', { url: server.url })
    await say(ada, 'before')
    await hears(bob, 'before')
    assert.deepEqual(await server.stop('SIGINT'), { code: 0, signal: null })
    for (const page of [ada, bob]) await page.getByText('Reconnecting').waitFor()
    await say(bob, 'while it was down')

    proxy.cut()
    server = await startProgram({ ...chat, args: ['-addr', host] })
    await hears(bob, 'before', 'while it was down')
    proxy.heal() // Ada comes back after it was said, to a server that doesn't know where she was
    await ada.evaluate(() => dispatchEvent(new Event('online'))) // not after as long as it has waited by now
    for (const page of [ada, bob]) {
      await state(page, 'open')
      await page.waitForFunction(() => !document.querySelector('#banner').textContent.includes('Reconnecting'))
      await hears(page, 'before', 'while it was down')
      for (const name of ['Ada', 'Bob']) await isHere(page, name)
      // What the server knew is gone with it, and the page says so.
      await page.locator('.note').getByText('The server was restarted').waitFor()
    }
    await say(ada, 'after')
    for (const page of [ada, bob]) await hears(page, 'before', 'while it was down', 'after')
    chromium.check(unreachable)
  })
})
