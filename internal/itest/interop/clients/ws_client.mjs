// A client on top of the npm package ws, which is installed where its path is given.
import { createRequire } from 'node:module'

import { closed, report, serve } from './pipe.mjs'

const require = createRequire(process.argv[2])
const WebSocket = require('ws')

function connect(number, { url, protocols, origin, authority, deflate }) {
  const ws = new WebSocket(url, protocols, {
    origin: origin || undefined, ca: authority || undefined, perMessageDeflate: deflate && { threshold: 0 }
  })
  let opened = false
  let refused = false
  ws.on('open', () => {
    opened = true
    report(number, 'open', 0, ws.protocol)
  })
  ws.on('unexpected-response', (request, response) => {
    refused = true
    report(number, 'refused', response.statusCode)
    request.destroy()
  })
  ws.on('message', (data, isBinary) => report(number, isBinary ? 'binary' : 'text', 0, data))
  ws.on('ping', data => report(number, 'ping', 0, data))
  ws.on('pong', data => report(number, 'pong', 0, data))
  ws.on('error', err => {
    if (!opened && !refused) report(number, 'failed', 0, err.message)
  })
  ws.on('close', (code, reason) => {
    if (opened) closed(number, code, reason)
  })
  return {
    send(binary, parts) {
      parts.forEach((part, i) => ws.send(part, { binary, fin: i === parts.length - 1 }))
    },
    ping: data => ws.ping(data),
    close: (code, reason) => ws.close(code, reason),
    abandon() {}
  }
}

serve(`Node ${process.versions.node}, ${require('ws/package.json').version}`, connect)
