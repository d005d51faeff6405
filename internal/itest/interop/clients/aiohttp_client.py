"""A client on top of the Python library aiohttp."""

import asyncio

import aiohttp

import pipe


class Connection:
    def __init__(self, number, target):
        self.number, self.target = number, target
        self.closed = asyncio.Event()

    async def run(self):
        t = self.target
        async with aiohttp.ClientSession() as session:
            try:
                self.ws = await session.ws_connect(
                    t.url,
                    protocols=t.protocols,
                    origin=t.origin,
                    compress=15 if t.deflate else 0,
                    ssl=pipe.trust(t.authority) if t.secure else None,
                    max_msg_size=0,
                    autoping=False,  # else pings and pongs are not shown
                )
            except aiohttp.WSServerHandshakeError as err:
                return pipe.report(self.number, "refused", err.status, str(err))
            except (OSError, aiohttp.ClientError) as err:
                return pipe.report(self.number, "failed", data=str(err))
            pipe.report(self.number, "open", data=self.ws.protocol or "")
            await self.read()

    async def read(self):
        while True:
            msg = await self.ws.receive()
            if msg.type == aiohttp.WSMsgType.TEXT:
                pipe.report(self.number, "text", data=msg.data)
            elif msg.type == aiohttp.WSMsgType.BINARY:
                pipe.report(self.number, "binary", data=msg.data)
            elif msg.type == aiohttp.WSMsgType.PING:
                pipe.report(self.number, "ping", data=bytes(msg.data))
                await self.ws.pong(msg.data)
            elif msg.type == aiohttp.WSMsgType.PONG:
                pipe.report(self.number, "pong", data=bytes(msg.data))
            elif msg.type == aiohttp.WSMsgType.CLOSE:
                return pipe.closed(self.number, msg.data, msg.extra)
            elif msg.type == aiohttp.WSMsgType.CLOSING:
                return await self.closed.wait()
            else:
                return pipe.report(self.number, "lost", data=str(msg.data))

    async def send(self, binary, parts):
        data = b"".join(parts)
        if binary:
            await self.ws.send_bytes(data)
        else:
            await self.ws.send_str(data.decode())

    async def ping(self, payload):
        await self.ws.ping(payload)

    async def close(self, code, reason):
        # Since another task receives, it does not wait for the answer.
        await self.ws.close(code=code, message=reason.encode())
        self.closed.set()

    def abandon(self):
        pass


asyncio.run(pipe.serve("aiohttp", Connection))
