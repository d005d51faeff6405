// A client on top of the WebSocket that Node has of its own since version 22.
import tls from 'node:tls'

import { closed, report, serve } from './pipe.mjs'

function connect(number, { url, protocols, origin, authority }) {
  tls.setDefaultCACertificates(authority ? [authority] : tls.getCACertificates('bundled'))
  const ws = new WebSocket(url, { protocols, headers: origin ? { origin } : {} })
  ws.binaryType = 'arraybuffer'
  let opened = false
  ws.onopen = () => {
    opened = true
    report(number, 'open', 0, ws.protocol)
  }
  ws.onmessage = ({ data }) => {
    if (typeof data === 'string') report(number, 'text', 0, data)
    else report(number, 'binary', 0, new Uint8Array(data))
  }
  ws.onerror = ({ message }) => {
    if (!opened) report(number, 'failed', 0, message ?? '')
  }
  ws.onclose = ({ code, reason }) => {
    if (opened) closed(number, code, reason)
  }
  return {
    send: (binary, [data]) => ws.send(binary ? data : data.toString()),
    close: (code, reason) => ws.close(code, reason),
    abandon() {}
  }
}

serve(`Node ${process.versions.node}`, connect)
