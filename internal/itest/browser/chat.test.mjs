// Two people in the chat of examples/chat, each in a browser context of their own.
//
// What the example has to be, for this test: `go run ./examples/chat -addr localhost:0` prints http://localhost:PORT/. The
// page there asks for a name and a room and has a button to join; then it shows the lines of the room, who is here, who is
// typing, and a field for the next line, sent with Enter. The page is found by its roles and labels, as a screen reader
// finds it; they are all in `ui`. <body data-state="open"> says that it is connected.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import path from 'node:path'
import test, { after, before, describe } from 'node:test'
import { launchChromium, needsChromium } from './lib/chromium.mjs'
import { root, startProgram } from './lib/program.mjs'

const pending = existsSync(path.join(root, 'examples/chat')) ? false : 'there is no examples/chat yet'

const ui = {
  name: page => page.getByLabel('Name'),
  room: page => page.getByLabel('Room'),
  join: page => page.getByRole('button', { name: 'Join' }),
  text: page => page.getByLabel('Message'),
  lines: page => page.getByRole('log').locator('li'),
  people: page => page.getByRole('list', { name: 'Who is here' }).locator('li'),
  typing: page => page.getByRole('status'),
}

describe('chat', { skip: pending || needsChromium }, () => {
  let program, chromium
  before(async () => {
    program = await startProgram({ pkg: './examples/chat', args: ['-addr', 'localhost:0'] })
    chromium = await launchChromium()
  })
  after(async () => {
    await chromium?.close()
    await program?.stop()
  })

  /** enter opens the chat as a new person and waits until they are in the room. */
  async function enter(name, room) {
    const page = await chromium.newPage(program.url)
    await ui.name(page).fill(name)
    await ui.room(page).fill(room)
    await ui.join(page).click()
    await page.locator('body[data-state="open"]').waitFor()
    await eventually(() => ui.people(page).allInnerTexts(), people => people.includes(name))
    return page
  }

  async function say(page, text) {
    await ui.text(page).fill(text)
    await ui.text(page).press('Enter')
  }

  const includes = text => lines => lines.some(line => line.includes(text))

  test('the program serves where it says', () => {
    assert.match(program.url, /^http:\/\/localhost:\d+\/$/)
  })

  test('two people see each other, and hear what the other says, in order', async () => {
    const [ada, bob] = [await enter('ada', 'tea'), await enter('bob', 'tea')]
    for (const page of [ada, bob]) {
      await eventually(() => ui.people(page).allInnerTexts(), people => people.sort().join() === 'ada,bob')
    }
    await say(ada, 'hello <b>bob</b> & "all"')
    await eventually(() => ui.lines(bob).allInnerTexts(), includes('hello <b>bob</b> & "all"'))
    await say(bob, 'hello ada')
    for (const page of [ada, bob]) {
      const lines = await eventually(() => ui.lines(page).allInnerTexts(), includes('hello ada'))
      assert.equal(lines.length, 2)
      assert.match(lines[0], /ada.*hello <b>bob/s)
      assert.match(lines[1], /bob.*hello ada/s)
    }
    chromium.check()
  })

  test('typing is seen by the other, and passes', async () => {
    const [ada, bob] = [await enter('ada', 'typing'), await enter('bob', 'typing')]
    await ui.text(ada).pressSequentially('hel')
    await eventually(() => ui.typing(bob).innerText(), text => text.includes('ada'))
    await eventually(() => ui.typing(bob).innerText(), text => !text.includes('ada'))
    chromium.check()
  })

  test('whoever comes later reads what was said, and is in no other room', async () => {
    const ada = await enter('ada', 'history')
    for (const text of ['one', 'two', 'three']) await say(ada, text)
    const elsewhere = await enter('cyd', 'elsewhere')
    const bob = await enter('bob', 'history')
    const lines = await eventually(() => ui.lines(bob).allInnerTexts(), includes('three'))
    assert.deepEqual(lines.map(line => line.match(/one|two|three/)?.[0]), ['one', 'two', 'three'])
    assert.deepEqual(await ui.lines(elsewhere).allInnerTexts(), [])
    assert.deepEqual(await ui.people(elsewhere).allInnerTexts(), ['cyd'])
    chromium.check()
  })

  test('whoever leaves is no longer here', async () => {
    const [ada, bob] = [await enter('ada', 'leaving'), await enter('bob', 'leaving')]
    await bob.close()
    // Presence lingers for 10 s after a connection is lost, in case it comes back.
    await eventually(() => ui.people(ada).allInnerTexts(), people => people.join() === 'ada', 15_000)
  })

  test('what is said while offline arrives later, and nothing is lost', async () => {
    const [ada, bob] = [await enter('ada', 'tunnel'), await enter('bob', 'tunnel')]
    await say(bob, 'before')
    await eventually(() => ui.lines(ada).allInnerTexts(), includes('before'))
    await ada.context().setOffline(true)
    await say(bob, 'meanwhile')
    await eventually(() => ui.lines(bob).allInnerTexts(), includes('meanwhile'))
    await ada.context().setOffline(false)
    await say(bob, 'after')
    const lines = await eventually(() => ui.lines(ada).allInnerTexts(), includes('after'))
    assert.deepEqual(lines.map(line => line.match(/before|meanwhile|after/)?.[0]), ['before', 'meanwhile', 'after'])
  })
})

/** eventually reads until what it has read is good, and returns it; it fails with what it read last. */
async function eventually(read, good, timeout = 10_000) {
  const end = Date.now() + timeout
  for (;;) {
    const value = await read()
    if (good(value)) return value
    if (Date.now() > end) assert.fail(`after ${timeout} ms still ${JSON.stringify(value)}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}
