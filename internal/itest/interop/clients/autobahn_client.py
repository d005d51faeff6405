"""A client on top of the Python library autobahn, over asyncio."""

import asyncio
import re

from autobahn.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateResponse, PerMessageDeflateResponseAccept

import pipe


class Protocol(WebSocketClientProtocol):
    opened = False

    def onConnect(self, response):
        self.chosen = response.protocol or ""

    def onOpen(self):
        self.opened = True
        pipe.report(self.number, "open", data=self.chosen)

    def onMessage(self, payload, isBinary):
        pipe.report(self.number, "binary" if isBinary else "text", data=payload)

    def onPing(self, payload):
        pipe.report(self.number, "ping", data=payload)
        super().onPing(payload)

    def onPong(self, payload):
        pipe.report(self.number, "pong", data=payload)

    def onClose(self, wasClean, code, reason):
        if self.opened:
            pipe.closed(self.number, code, reason)
        elif status := re.search(r"upgrade failed \[(\d+)\]", reason or ""):
            pipe.report(self.number, "refused", int(status[1]), reason)
        else:
            pipe.report(self.number, "failed", data=reason or "")
        self.over.set()


def accept(response):
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response)


class Connection:
    def __init__(self, number, target):
        self.number, self.target = number, target

    async def run(self):
        t = self.target
        factory = WebSocketClientFactory(t.url, origin=t.origin, protocols=t.protocols)
        if t.deflate:
            factory.setProtocolOptions(
                perMessageCompressionOffers=[PerMessageDeflateOffer()], perMessageCompressionAccept=accept
            )
        over = asyncio.Event()

        def protocol():
            p = Protocol()
            p.factory, p.number, p.over = factory, self.number, over
            return p

        try:
            _, self.ws = await asyncio.get_running_loop().create_connection(
                protocol, factory.host, factory.port, ssl=pipe.trust(t.authority) if t.secure else None
            )
        except OSError as err:
            return pipe.report(self.number, "failed", data=str(err))
        await over.wait()

    async def send(self, binary, parts):
        if len(parts) == 1:
            return self.ws.sendMessage(parts[0], binary)
        self.ws.beginMessage(binary)
        for part in parts:
            self.ws.sendMessageFrame(part)
        self.ws.endMessage()

    async def ping(self, payload):
        self.ws.sendPing(payload)

    async def close(self, code, reason):
        self.ws.sendClose(code, reason)

    def abandon(self):
        pass


asyncio.run(pipe.serve("autobahn", Connection))
