// What the clients in Node have in common: commands on standard input, events on standard output. They are described at
// process in process_test.go.
import { readFileSync } from 'node:fs'
import readline from 'node:readline'

const hex = data => 'x' + Buffer.from(data).toString('hex')
const bytes = word => Buffer.from(word.slice(1), 'hex')

export function report(number, kind, code = 0, data = '') {
  process.stdout.write(`${number} ${kind} ${code} ${hex(data)}\n`)
}

/** closed reports a close, or that there was none: 1005 and 1006 stand for that. */
export function closed(number, code, reason) {
  if (code === 1005 || code === 1006) report(number, 'lost', 0, reason)
  else report(number, 'close', code, reason)
}

/**
 * serve runs commands until there are no more. connect makes a connection of its number and what to connect to; it has
 * methods send, ping, close and abandon.
 */
export async function serve(version, connect) {
  report(0, 'ready', 0, version)
  const connections = new Map()
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [number, verb, ...words] = line.split(' ')
    const connection = connections.get(number)
    if (verb === 'dial') {
      const [url, protocols, origin, authority, deflate] = words.map(word => word === '-' ? '' : word)
      connections.set(number, connect(number, {
        url, origin, deflate: deflate === '1',
        protocols: protocols ? protocols.split(',') : [],
        authority: authority && readFileSync(authority, 'utf8')
      }))
    } else if (verb === 'text' || verb === 'binary') connection.send(verb === 'binary', words.map(bytes))
    else if (verb === 'ping') connection.ping(bytes(words[0]))
    else if (verb === 'close') connection.close(Number(words[0]), bytes(words[1]).toString())
    else if (verb === 'abandon') {
      connection.abandon()
      connections.delete(number)
    }
  }
  process.exit() // what is left of connections is of no interest
}
