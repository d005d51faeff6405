// Socket.IO, with a room a topic.
import { Server } from 'socket.io'
import { serve } from './server.mjs'

let io
await serve(server => {
  io = new Server(server, { pingInterval: 2 ** 30, pingTimeout: 2 ** 30, perMessageDeflate: false })
  io.on('connection', socket => socket.on('sub', (...topics) => {
    socket.join(topics)
    socket.emit('ok')
  }))
}, (topic, text) => io.to(topic).emit('m', JSON.parse(text)))
