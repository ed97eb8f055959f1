"""Who gets a connection to the page: a bounded number in all and from one address, and nobody for ever."""

import asyncio
import gc
import socket
import ssl
from collections import Counter
from collections.abc import Callable

from edgesdk_device.app.background import Background
from edgesdk_device.app.settings import LOOPBACK

PATIENCE_S = 60.0
PAUSE_S = 0.1
HANDSHAKE_S, GOODBYE_S = 10.0, 0.2  # of TLS
#: aiohttp ties a connection and its request to each other: only Python's collector frees them, 10 kB and more each, and
#: it looks at what has lived for a second once in hours.
LEFT_TO_COLLECT = 32


class Door:
    """Takes connections in.

    Who says nothing, asks slowly or does not read what was answered takes a place; that is given back after
    `PATIENCE_S` at the latest, unless the connection became a viewer's. Half of the places are for other addresses,
    so that one cannot lock the others out; on loopback, and behind a proxy there, all have the same.

    Args:
        listening: the bound socket.
        make: a protocol for each connection.
        most: connections at a time.
        context: for TLS.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], asyncio.BaseProtocol],
        most: int,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._listening, self._make, self._most, self._context = listening, make, most, context
        self._from: Counter[str] = Counter()
        self._coming: set[asyncio.Task[None]] = set()
        self._inside: dict[asyncio.BaseProtocol, tuple[asyncio.Transport, str, asyncio.TimerHandle]] = {}
        self._stay: set[asyncio.BaseProtocol] = set()
        self._left = 0

    def stay(self, protocol: asyncio.BaseProtocol) -> None:
        """This connection may last."""
        self._stay.add(protocol)

    async def serve_until_over(self, beside: Background) -> None:
        """Take in one after another until the server is to end, then let the port go; who is inside stays."""
        gc.freeze()  # what is loaded stays: collecting beside the camera takes 1 ms instead of 40
        try:
            serving = asyncio.create_task(self.serve())
            beside.ready()
            await beside.over.wait()
            serving.cancel()
            self._listening.close()
        finally:
            gc.unfreeze()

    async def serve(self) -> None:
        """Take in one after another, until cancelled."""
        self._listening.setblocking(False)
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, peer = await loop.sock_accept(self._listening)
            except OSError:  # out of descriptors, or it was gone before it was taken
                await asyncio.sleep(PAUSE_S)
                continue
            self._forget()
            if self._is_full(peer[0]):
                line.close()
                continue
            self._from[peer[0]] += 1
            coming = asyncio.create_task(self._let_in(line, peer[0]))  # a slow handshake holds up nobody else
            self._coming.add(coming)
            coming.add_done_callback(self._coming.discard)

    async def _let_in(self, line: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()
        secure = self._context is not None
        try:
            transport, protocol = await loop.connect_accepted_socket(
                self._make,
                line,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_S if secure else None,
                ssl_shutdown_timeout=GOODBYE_S if secure else None,
            )
        except OSError:  # and what TLS refuses
            line.close()
            self._leave(address)
            return
        self._inside[protocol] = transport, address, loop.call_later(PATIENCE_S, self._show_out, protocol)

    def _is_full(self, address: str) -> bool:
        return len(self._inside) + len(self._coming) >= self._most or (
            address not in LOOPBACK and self._from[address] >= (self._most + 1) // 2
        )

    def _show_out(self, protocol: asyncio.BaseProtocol) -> None:
        if protocol in self._inside and protocol not in self._stay:
            self._inside[protocol][0].abort()

    def _forget(self) -> None:
        """Give back the places of those who left."""
        for protocol in [one for one, (transport, *_) in self._inside.items() if transport.is_closing()]:
            _, address, timer = self._inside.pop(protocol)
            timer.cancel()
            self._stay.discard(protocol)
            self._leave(address)
            self._left += 1
        if self._left >= LEFT_TO_COLLECT:
            self._left = 0
            gc.collect()

    def _leave(self, address: str) -> None:
        self._from[address] -= 1
        if not self._from[address]:
            del self._from[address]
