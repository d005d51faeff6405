"""A client on top of the Python library wsproto, which does no I/O."""

import asyncio
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection, events
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import RemoteProtocolError

import pipe


class Connection:
    def __init__(self, number, target):
        self.number, self.target = number, target
        self.ws = WSConnection(ConnectionType.CLIENT)
        self.message = []

    async def run(self):
        t = self.target
        url = urlsplit(t.url)
        try:
            self.reader, self.writer = await asyncio.open_connection(
                url.hostname, url.port, ssl=pipe.trust(t.authority) if t.secure else None
            )
        except OSError as err:
            return pipe.report(self.number, "failed", data=str(err))
        self.write(
            events.Request(
                host=url.netloc,
                target=url.path,
                subprotocols=t.protocols,
                extensions=[PerMessageDeflate()] if t.deflate else [],
                extra_headers=[(b"Origin", t.origin.encode())] if t.origin else [],
            )
        )
        try:
            await self.read()
        finally:
            self.writer.close()

    async def read(self):
        opened = False
        while True:
            try:
                received = await self.reader.read(65536)
                self.ws.receive_data(received or None)
                happened = list(self.ws.events())
            except (OSError, RemoteProtocolError) as err:
                return pipe.report(self.number, "lost" if opened else "failed", data=str(err))
            for event in happened:
                if isinstance(event, events.RejectConnection):
                    return pipe.report(self.number, "refused", event.status_code)
                opened = opened or isinstance(event, events.AcceptConnection)
                if self.handle(event):
                    return

    def handle(self, event):
        """Reports an event, and whether it is the last."""
        n = self.number
        if isinstance(event, events.AcceptConnection):
            pipe.report(n, "open", data=event.subprotocol or "")
        elif isinstance(event, events.Message):
            binary = isinstance(event, events.BytesMessage)
            self.message.append(bytes(event.data) if binary else event.data.encode())
            if event.message_finished:
                pipe.report(n, "binary" if binary else "text", data=b"".join(self.message))
                self.message = []
        elif isinstance(event, events.Ping):
            pipe.report(n, "ping", data=bytes(event.payload))
            self.write(event.response())
        elif isinstance(event, events.Pong):
            pipe.report(n, "pong", data=bytes(event.payload))
        elif isinstance(event, events.CloseConnection):
            pipe.closed(n, event.code, event.reason)
            if self.ws.state.name == "REMOTE_CLOSING":
                self.write(event.response())
            return True
        return False

    def write(self, event):
        self.writer.write(self.ws.send(event))

    async def send(self, binary, parts):
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            if binary:
                self.write(events.BytesMessage(data=part, message_finished=last))
            else:
                self.write(events.TextMessage(data=part.decode(), message_finished=last))

    async def ping(self, payload):
        self.write(events.Ping(payload=payload))

    async def close(self, code, reason):
        self.write(events.CloseConnection(code=code, reason=reason))

    def abandon(self):
        pass


asyncio.run(pipe.serve("wsproto", Connection))
