"""A client on top of the Python library websockets."""

import asyncio

import websockets

import pipe


class Connection:
    def __init__(self, number, target):
        self.number, self.target = number, target

    async def run(self):
        t = self.target
        try:
            self.ws = await websockets.connect(
                t.url,
                subprotocols=t.protocols or None,
                origin=t.origin,
                compression="deflate" if t.deflate else None,
                ssl=pipe.trust(t.authority) if t.secure else None,
                max_size=None,
                ping_interval=None,
                open_timeout=None,
            )
        except websockets.InvalidStatusCode as err:
            return pipe.report(self.number, "refused", err.status_code, str(err))
        except (OSError, websockets.WebSocketException) as err:
            return pipe.report(self.number, "failed", data=str(err))
        pipe.report(self.number, "open", data=self.ws.subprotocol or "")
        try:
            async for message in self.ws:
                pipe.report(self.number, "text" if isinstance(message, str) else "binary", data=message)
        except websockets.ConnectionClosed:
            pass
        pipe.closed(self.number, self.ws.close_code, self.ws.close_reason)

    async def send(self, binary, parts):
        if not binary:
            # Text that ends within a character can't be a str.
            parts = [p.decode() for p in parts]
        await self.ws.send(parts[0] if len(parts) == 1 else parts)

    async def ping(self, payload):
        pong = await self.ws.ping(payload)
        pong.add_done_callback(lambda _: pipe.report(self.number, "pong", data=payload))

    async def close(self, code, reason):
        await self.ws.close(code, reason)

    def abandon(self):
        pass


asyncio.run(pipe.serve("websockets", Connection))
