// hotline.v1, spoken by hand over the WebSocket of a browser.

/** A PageWire is one connection of a page: what Wire is over the npm package ws. */
export class PageWire {
  #handle

  /** open connects from page and says hello. It rejects if the connection ends before. */
  static async open(page, url, hello = {}) {
    const wire = new PageWire()
    wire.#handle = await page.evaluateHandle(connect, { url: url.replace(/^http/, 'ws'), hello })
    return wire
  }

  /** send sends a frame; with bytes as data, in a binary message. */
  send({ data, ...head }) {
    return this.#handle.evaluate((wire, { head, data, bytes }) => wire.send(head, data, bytes),
      data instanceof Uint8Array ? { head, bytes: [...data] } : { head, data })
  }

  /** next resolves with the oldest frame that has all of the fields of want, and takes it; others stay. */
  async next(want = {}) {
    const { bytes, ...frame } = await this.#handle.evaluate((wire, want) => wire.next(want), want)
    return bytes ? { ...frame, data: Buffer.from(bytes) } : frame
  }

  /** closed resolves with how the connection ended. */
  closed() { return this.#handle.evaluate(wire => wire.closed) }

  close() { return this.#handle.evaluate(wire => wire.close()) }
}

/** connect runs in the page. */
function connect({ url, hello }) {
  const ws = new WebSocket(url, ['hotline.v1', 'hotline'])
  ws.binaryType = 'arraybuffer'
  const frames = []
  let waiting = []
  const decode = data => {
    if (typeof data === 'string') return JSON.parse(data)
    const all = new Uint8Array(data), end = all.indexOf(10)
    return { ...JSON.parse(new TextDecoder().decode(all.subarray(0, end))), bytes: [...all.subarray(end + 1)] }
  }
  const serve = () => {
    waiting = waiting.filter(({ want, resolve, reject }) => {
      const at = frames.findIndex(frame => Object.entries(want).every(([key, value]) => frame[key] === value))
      if (at >= 0) resolve(frames.splice(at, 1)[0])
      else if (ws.readyState === WebSocket.CLOSED) reject(new Error(`closed while waiting for ${JSON.stringify(want)}`))
      else return true
      return false
    })
  }
  const wire = {
    send(head, data, bytes) {
      if (!bytes) return ws.send(JSON.stringify({ ...head, data }))
      ws.send(new Blob([JSON.stringify(head), '\n', new Uint8Array(bytes)]))
    },
    next: want => new Promise((resolve, reject) => {
      waiting.push({ want, resolve, reject })
      serve()
    }),
    closed: new Promise(resolve => ws.addEventListener('close', ({ code, reason }) => {
      resolve({ code, reason })
      serve()
    })),
    close() {
      ws.close(1000)
      return wire.closed
    },
  }
  ws.onmessage = e => {
    const frame = decode(e.data)
    if (frame.op === 'ping') ws.send('{"op":"pong"}')
    frames.push(frame)
    serve()
  }
  return new Promise((resolve, reject) => {
    ws.onopen = () => {
      ws.send(JSON.stringify({ op: 'hello', ...hello }))
      resolve(wire)
    }
    ws.addEventListener('close', e => reject(new Error(`closed: ${e.code}`)))
  })
}
