// The chat in Firefox, over WebDriver BiDi: the client's ways with sockets and timers are not Chromium's alone.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import path from 'node:path'
import test, { after, before, describe } from 'node:test'
import puppeteer from 'puppeteer-core'
import { startProgram } from './lib/program.mjs'
import { startProxy } from './lib/proxy.mjs'

const firefoxPath = process.env.FIREFOX || process.env.PATH.split(path.delimiter)
  .flatMap(dir => ['firefox', 'firefox-esr'].map(name => path.join(dir, name))).find(existsSync)
const needsFirefox = firefoxPath || process.env.CI ? false : 'install Firefox, or set FIREFOX to its path'
const timeout = 60_000 // machines are loaded

describe('the chat in Firefox', { skip: needsFirefox }, () => {
  let program, firefox
  before(async () => {
    program = await startProgram({ pkg: './examples/chat', args: ['-addr', 'localhost:0'] })
    firefox = await puppeteer.launch({ browser: 'firefox', executablePath: firefoxPath, headless: true, protocolTimeout: 120_000 })
  })
  after(async () => {
    await firefox?.close()
    await program?.stop()
  })

  /** join opens a window of another person. */
  async function join(t, name, room, url = program.url) {
    const context = await firefox.createBrowserContext()
    t.after(() => context.close())
    const page = await context.newPage()
    page.setDefaultTimeout(timeout)
    await page.goto(url)
    await page.evaluate((name, room) => {
      document.querySelector('#name').value = name
      document.querySelector('#room').value = room
      document.querySelector('#join').requestSubmit()
    }, name, room)
    await here(page, name)
    return page
  }

  const here = (page, name) => page.waitForFunction(
    name => Array.from(document.querySelectorAll('#people bdi'), e => e.textContent).includes(name), { timeout }, name)
  const state = (page, want) => page.waitForFunction(want => document.body.dataset.state === want, { timeout }, want)
  const say = (page, text) => page.evaluate(text => {
    document.querySelector('#text').value = text
    document.querySelector('#say').requestSubmit()
  }, text)

  /** hears resolves when these lines, and no others, are in the room. */
  async function hears(page, ...texts) {
    const lines = '#log .line:not(.pending, .failed) .text'
    await page.waitForFunction((lines, n) => document.querySelectorAll(lines).length >= n && !document.querySelector('#log .pending'),
      { timeout }, lines, texts.length)
    assert.deepEqual(await page.$$eval(lines, all => all.map(e => e.textContent)), texts)
  }

  test('a cut loses nothing and repeats nothing', async t => {
    const proxy = await startProxy(program.url)
    t.after(() => proxy.close())
    const ada = await join(t, 'Ada', 'fox'), bob = await join(t, 'Bob', 'fox', proxy.url)
    await here(ada, 'Bob')
    await say(ada, 'one')
    for (const page of [ada, bob]) await hears(page, 'one')
    proxy.cut()
    await state(bob, 'connecting')
    await say(bob, 'written offline')
    await say(ada, 'two')
    await hears(ada, 'one', 'two')
    proxy.heal()
    await state(bob, 'open')
    await hears(ada, 'one', 'two', 'written offline')
    await hears(bob, 'one', 'two', 'written offline')
  })

  test('a server that is started again', async t => {
    const { port } = new URL(program.url)
    const ada = await join(t, 'Ada', 'again'), bob = await join(t, 'Bob', 'again')
    await say(ada, 'before')
    await hears(bob, 'before')
    await program.stop('SIGINT')
    await state(bob, 'connecting')
    program = await startProgram({ pkg: './examples/chat', args: ['-addr', `localhost:${port}`] })
    for (const page of [ada, bob]) await state(page, 'open')
    await say(bob, 'after')
    await hears(ada, 'before', 'after')
    assert.deepEqual(await ada.$$eval('#log .note', all => all.map(e => e.textContent)), ['The server was restarted: you may have missed messages here'])
  })
})
