// A TCP proxy in front of a program, with the faults of a network at the test's command.
import { once } from 'node:events'
import net from 'node:net'

/**
 * startProxy listens on a port of its own and passes connections on to url. cut breaks what is connected and refuses what
 * comes, blackhole swallows whatever is sent in either direction, until heal. up counts the connections that are there.
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
      from.on('data', bytes => { if (fault !== 'blackhole') to.write(bytes) })
      from.on('end', () => { if (fault !== 'blackhole') to.end() })
      from.on('error', () => {}) // close follows
      from.on('close', () => {
        pairs.delete(pair)
        if (fault !== 'blackhole') to.destroy()
      })
    }
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  const breakAll = () => { for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy() }
  return {
    url: `http://localhost:${server.address().port}/`,
    up: () => pairs.size,
    cut() {
      fault = 'cut'
      breakAll()
    },
    blackhole() { fault = 'blackhole' },
    /** heal lets new connections through; those that lost bytes in a blackhole are broken. */
    heal() {
      if (fault === 'blackhole') breakAll()
      fault = ''
    },
    close() {
      server.close()
      breakAll()
    },
  }
}
