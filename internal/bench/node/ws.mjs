// The npm package ws, as its documentation broadcasts.
import { WebSocket, WebSocketServer } from 'ws'
import { serve } from './server.mjs'

let wss
await serve(server => { wss = new WebSocketServer({ server }) }, (_, text) => {
  for (const client of wss.clients) if (client.readyState === WebSocket.OPEN) client.send(text)
})
