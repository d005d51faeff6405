// What a server of internal/bench does: it prints its address, and then answers orders; see wire.go and server.go.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const filler = 'the quick brown fox jumps over the lazy dog; '.repeat(2000)

function payload(size) {
  // Date.now() has milliseconds; the load wants nanoseconds of the same clock
  const t = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n
  const head = `{"t":${t},"x":"`
  return head + filler.slice(0, Math.max(0, size - head.length - 2)) + '"}'
}

const topic = i => `t${i}`

/** Serves HTTP and answers orders; publish sends a text to the subscribers of a topic. */
export async function serve(attach, publish) {
  const server = createServer((req, res) => res.writeHead(404).end())
  attach(server)
  await new Promise(resolve => server.listen(0, '127.0.0.1', 1024, resolve))
  console.log(`127.0.0.1:${server.address().port}`)
  for await (const line of createInterface({ input: process.stdin })) {
    const o = JSON.parse(line), begin = performance.now()
    let error
    switch (o.do) {
      case 'mark': break
      case 'settle': for (let i = 0; i < 3; i++) globalThis.gc(); break
      case 'burst':
        for (let i = 0; i < o.n; i++) publish(topic(i % o.topics), payload(o.size))
        break
      case 'paced':
        for (let i = 0; i < o.n; i++) {
          await sleep(Math.max(0, begin + (i + 1) * 1000 / o.rate - performance.now()))
          publish(topic(i % o.topics), payload(o.size))
        }
        break
      default: error = `unknown order ${o.do}`
    }
    const { user, system } = process.cpuUsage(), { heapUsed, external } = process.memoryUsage()
    const rss = Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[1]) * 4096
    console.log(JSON.stringify({ error, cpu: (user + system) * 1000, heap: heapUsed + external, rss }))
  }
  process.exit(0)
}
