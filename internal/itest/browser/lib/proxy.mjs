// A TCP proxy in front of a program, with the faults of a network at the test's command.
import { once } from 'node:events'
import net from 'node:net'

/**
 * startProxy listens on a port of its own and passes connections on to url. cut breaks what is connected and refuses what
 * comes, deafen swallows what the program sends, blackhole what is sent in either direction, until heal.
 */
export async function startProxy(url) {
  const target = new URL(url)
  const pairs = new Set()
  let fault = ''
  const server = net.createServer(client => {
    if (fault === 'cut') return client.resetAndDestroy()
    const upstream = net.connect(Number(target.port), target.hostname)
    const pair = [client, upstream]
    pairs.add(pair)
    for (const [from, to] of [pair, pair.toReversed()]) {
      const swallowed = () => fault === 'blackhole' || fault === 'deaf' && from === upstream
      from.on('data', bytes => { if (!swallowed()) to.write(bytes) })
      from.on('end', () => { if (!swallowed()) to.end() })
      from.on('error', () => {}) // close follows
      from.on('close', () => {
        if (swallowed()) return // heal breaks the other half
        pairs.delete(pair)
        to.destroy()
      })
    }
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const breakAll = () => {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy()
    pairs.clear()
  }
  return {
    url: `http://localhost:${server.address().port}/`,
    cut() {
      fault = 'cut'
      breakAll()
    },
    deafen() { fault = 'deaf' },
    blackhole() { fault = 'blackhole' },
    /** heal lets new connections through; those that have lost bytes are broken. */
    heal() {
      if (fault !== 'cut') breakAll()
      fault = ''
    },
    close() {
      server.close()
      breakAll()
    },
  }
}
