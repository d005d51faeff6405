// Builds and runs a Go program that prints the URL at which it serves.
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The root of the repository. */
export const root = path.resolve(import.meta.dirname, '../../../..')

/** The module that these tests belong to. */
export const itest = path.join(root, 'internal/itest')

/**
 * startProgram builds the Go package pkg (such as ./examples/chat) of the module in dir and runs it. It resolves with the
 * first URL that the program prints on a line of its standard output. The program is built and not run with `go run`,
 * because signals have to reach it.
 */
export async function startProgram({ dir = root, pkg, args = [], timeout = 20_000 }) {
  const tmp = await mkdtemp(path.join(tmpdir(), 'hotline-program-'))
  const clean = () => rm(tmp, { recursive: true, force: true })
  const binary = path.join(tmp, 'program')
  try {
    await run('go', ['build', '-buildvcs=false', '-o', binary, pkg], { cwd: dir })
  } catch (err) {
    await clean()
    throw new Error(`go build ${pkg}: ${err.stderr || err.message}`)
  }

  const child = spawn(binary, args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  child.stderr.on('data', chunk => { log += chunk })
  const exited = new Promise(resolve => {
    child.once('error', err => resolve({ code: null, signal: null, err }))
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  const stop = async (signal = 'SIGTERM', grace = 10_000) => {
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), grace)
    const how = await exited
    clearTimeout(timer)
    await clean()
    return how
  }

  const url = new Promise(resolve => {
    createInterface({ input: child.stdout }).on('line', line => {
      log += line + '\n'
      const match = line.match(/\bhttps?:\/\/\S+/)
      if (match) resolve(match[0])
    })
  })
  let timer
  const late = new Promise(resolve => { timer = setTimeout(resolve, timeout, 'late') })
  const first = await Promise.race([url, late, exited])
  clearTimeout(timer)
  if (typeof first !== 'string' || first === 'late') {
    await stop('SIGKILL')
    const why = first === 'late' ? `printed no URL within ${timeout} ms` : `ended: ${JSON.stringify(first)}`
    throw new Error(`${pkg} ${why}\n${log}`)
  }
  return { url: first, exited, stop, log: () => log }
}
