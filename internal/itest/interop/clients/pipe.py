"""What the clients in Python have in common: commands on standard input, events on standard output.

The commands and events are described at process in process_test.go.
"""

import asyncio
import platform
import ssl
import sys
from importlib.metadata import version

LOST = (0, 1005, 1006)  # what libraries say where no Close frame came, or one without a code


def report(number, kind, code=0, data=b""):
    if isinstance(data, str):
        data = data.encode()
    sys.stdout.write(f"{number} {kind} {code} x{data.hex()}\n")
    sys.stdout.flush()


def closed(number, code, reason):
    if code is None or code in LOST:
        report(number, "lost", data=reason or "")
    else:
        report(number, "close", code, reason or "")


def trust(authority):
    """Returns what trusts the authority in a file, or those of the system."""
    return ssl.create_default_context(cafile=authority)


class Target:
    def __init__(self, words):
        self.url, protocols, origin, authority, deflate = words
        self.protocols = [] if protocols == "-" else protocols.split(",")
        self.origin = None if origin == "-" else origin
        self.authority = None if authority == "-" else authority
        self.deflate = deflate == "1"
        self.secure = self.url.startswith("wss:")


def data(word):
    return bytes.fromhex(word[1:])


async def serve(library, connection):
    """Runs commands until there are no more.

    connection makes an object of a number and a Target, with methods run (which lasts as long as the connection), send, ping,
    close and abandon.
    """
    report(0, "ready", data=f"Python {platform.python_version()}, {version(library)}")
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    connections, tasks = {}, {}
    while line := (await lines.readline()).decode():
        word, verb, *words = line.rstrip("\n").split(" ")
        number = int(word)
        if verb == "dial":
            connections[number] = connection(number, Target(words))
            tasks[number] = asyncio.create_task(connections[number].run())
            tasks[number].add_done_callback(complain)
        elif verb in ("text", "binary"):
            await connections[number].send(verb == "binary", [data(w) for w in words])
        elif verb == "ping":
            await connections[number].ping(data(words[0]))
        elif verb == "close":
            # It waits for the answer, and commands go on.
            task = asyncio.create_task(connections[number].close(int(words[0]), data(words[1]).decode()))
            task.add_done_callback(complain)
        elif verb == "abandon":
            connections[number].abandon()
            tasks.pop(number).cancel()
    for task in tasks.values():
        task.cancel()


def complain(task):
    if not task.cancelled() and task.exception():
        sys.stderr.write(f"{task.exception()!r}\n")
