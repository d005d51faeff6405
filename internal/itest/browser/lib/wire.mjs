// hotline.v1, spoken by hand over the npm package ws, which is strict: it drops a connection whose frames break RFC 6455.
import WebSocket from 'ws'

/** decode makes an object of a frame. A binary one is its header, a newline, and the payload, which becomes data. */
export function decode(bytes, isBinary) {
  if (!isBinary) return JSON.parse(bytes.toString())
  const newline = bytes.indexOf(0x0a)
  if (newline < 0) throw new Error('a binary frame without a newline')
  return { ...JSON.parse(bytes.subarray(0, newline).toString()), data: bytes.subarray(newline + 1) }
}

/** encode is its inverse: an object with bytes as data becomes a binary frame. */
export function encode(frame) {
  if (!(frame.data instanceof Uint8Array)) return { bytes: Buffer.from(JSON.stringify(frame)), binary: false }
  const { data, ...header } = frame
  return { bytes: Buffer.concat([Buffer.from(JSON.stringify(header) + '\n'), data]), binary: true }
}

/** A Wire is one connection. Frames wait in the order of their arrival until somebody asks for them. */
export class Wire {
  #frames = []
  #waiting = []

  constructor(url, protocols = ['hotline.v1', 'hotline'], options = {}) {
    this.ws = new WebSocket(url.replace(/^http/, 'ws'), protocols, options)
    this.ws.on('message', (bytes, isBinary) => {
      let frame
      try {
        frame = decode(bytes, isBinary)
      } catch (err) {
        frame = { op: 'undecodable', err }
      }
      if (frame.op === 'ping') { // answered at once, and kept only for whoever waits for it
        this.send({ op: 'pong' })
        if (!this.#waiting.some(({ want }) => want.op === 'ping')) return
      }
      this.#frames.push(frame)
      this.#serve()
    })
    this.opened = new Promise((resolve, reject) => {
      this.ws.once('open', resolve)
      this.ws.once('error', reject)
    })
    this.opened.catch(() => {}) // whoever awaits it gets it
    this.closed = new Promise(resolve => this.ws.once('close', (code, reason) => resolve({ code, reason: String(reason) })))
    this.closed.then(() => this.#serve())
  }

  /** open connects and says hello. */
  static async open(url, hello = {}) {
    const wire = new Wire(url)
    await wire.opened
    wire.send({ op: 'hello', ...hello })
    return wire
  }

  send(frame) {
    const { bytes, binary } = encode(frame)
    this.ws.send(bytes, { binary })
  }

  /**
   * next resolves with the oldest frame that has all of the fields of want, and takes it; others stay. It rejects after
   * timeout, or when the connection has closed without it.
   */
  next(want = {}, timeout = 5_000) {
    return new Promise((resolve, reject) => {
      const fail = why => reject(new Error(`${why} while waiting for ${JSON.stringify(want)}; had ${JSON.stringify(this.#frames)}`))
      const waiter = { want, resolve, fail }
      waiter.timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter(w => w !== waiter)
        fail('timeout')
      }, timeout)
      this.#waiting.push(waiter)
      this.#serve()
    })
  }

  /** rest takes all frames that have arrived and were not asked for. */
  rest() {
    return this.#frames.splice(0)
  }

  #serve() {
    this.#waiting = this.#waiting.filter(waiter => {
      const at = this.#frames.findIndex(frame => matches(frame, waiter.want))
      const over = this.ws.readyState === WebSocket.CLOSED
      if (at < 0 && !over) return true
      clearTimeout(waiter.timer)
      if (at >= 0) waiter.resolve(this.#frames.splice(at, 1)[0])
      else waiter.fail('closed')
      return false
    })
  }

  /** close ends the connection as a client does that leaves, and resolves with the close code. */
  close() {
    this.ws.close(1000)
    return this.closed
  }
}

function matches(frame, want) {
  return Object.entries(want).every(([key, value]) =>
    value instanceof Uint8Array ? Buffer.compare(value, frame[key] ?? Buffer.alloc(0)) === 0 : frame[key] === value)
}
