// Launches the Chromium that is installed on this machine.
import { existsSync } from 'node:fs'
import path from 'node:path'
import { chromium } from 'playwright-core'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

/** The browser's path: $CHROMIUM, or what is found in $PATH; undefined if there is none. */
export const chromiumPath = process.env.CHROMIUM || process.env.PATH.split(path.delimiter)
  .flatMap(dir => names.map(name => path.join(dir, name)))
  .find(existsSync)

/**
 * What to give a test as its skip option: without a browser a test skips on a developer's machine and says what to
 * install. Where CI is set it runs, and fails.
 */
export const needsChromium = chromiumPath || process.env.CI ? false : 'install Chromium, or set CHROMIUM to its path'

/** Without these Chromium looks for updates and for its vendor's services at each start. */
const args = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]

/**
 * launchChromium starts a browser with a new, empty profile. newPage opens a page in a context of its own: another person,
 * who shares no cookie and no storage with the others; options are Playwright's, of a context. check fails if a page has
 * thrown or logged an error since the last check, unless that was to be expected.
 */
export async function launchChromium() {
  if (!chromiumPath) throw new Error('Chromium is missing')
  const browser = await chromium.launch({
    executablePath: chromiumPath, headless: true, args, ignoreDefaultArgs: ['--disable-back-forward-cache'], // people have it
  })
  const errors = []
  return {
    browser,
    async newPage(url, options) {
      const context = await browser.newContext(options)
      context.setDefaultTimeout(60_000) // machines are loaded
      const page = await context.newPage()
      page.on('pageerror', err => errors.push(`thrown: ${err.stack ?? err}`))
      page.on('console', message => {
        if (message.type() === 'error') errors.push(`console: ${message.text()} (${message.location().url})`)
      })
      if (url) await page.goto(url)
      return page
    },
    check(expected) {
      const others = errors.splice(0).filter(text => !expected?.test(text))
      if (others.length > 0) throw new Error(others.join('\n'))
    },
    close: () => browser.close(),
  }
}
