"""Everybody who watches the page: each gets the newest frame when it asks, none can hold up another."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from aiohttp import WSCloseCode, WSMsgType, web

from edgesdk_device.app.background import Background
from edgesdk_device.app.door import Door

Frame = TypeVar("Frame")
HEARTBEAT_S = 15.0
CREDIT = 2  # frames on their way to one viewer: one is drawn while the next travels
STUCK_S = 10.0
GOODBYE_S = 1.0
NOTES = 50


class Viewer:
    """One open page. It gets a frame for each one it has drawn, so that none waits in a buffer and grows old.

    Attributes:
        credit: how many frames it is still willing to take.
        sent: the number of the last frame it was given.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.credit = CREDIT
        self.sent = 0
        self._socket, self._transport = socket, transport
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._picture: bytes | None = None
        self._wake = asyncio.Event()

    def give(self, number: int, picture: bytes) -> None:
        """Send this frame next; it takes the place of one that did not leave yet."""
        self.credit -= self._picture is None  # what never left takes no more of it
        self.sent = number
        self._picture = picture
        self._wake.set()

    def note(self, text: str) -> None:
        """Send this text next; where too many wait, the oldest go."""
        self._notes.append(text)
        self._wake.set()

    async def serve(self, wants: asyncio.Event) -> None:
        """Talk with the page until one side leaves; `wants` is set whenever it asks for a frame."""
        sending = asyncio.create_task(self._send())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    self.credit = min(self.credit + 1, CREDIT)
                    wants.set()
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            self._hang_up_on_the_deaf()

    async def leave(self, reason: str) -> None:
        """Close the line from this side."""
        goodbye = self._socket.close(code=WSCloseCode.GOING_AWAY, message=reason.encode())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(goodbye, GOODBYE_S)
        self._hang_up_on_the_deaf()

    def _hang_up_on_the_deaf(self) -> None:
        """A line that is closed stays open for as long as something waits in it that the other side does not read."""
        with contextlib.suppress(
            AttributeError
        ):  # TLS that was closed twice knows nothing more; it ends in half a minute
            if self._transport.get_write_buffer_size():
                self._transport.abort()

    async def _send(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._notes:
                    await asyncio.wait_for(self._socket.send_str(self._notes.popleft()), STUCK_S)
                if self._picture is not None:
                    picture, self._picture = self._picture, None
                    await asyncio.wait_for(self._socket.send_bytes(picture), STUCK_S)
        except (TimeoutError, ConnectionError):  # it does not read, so that no goodbye reaches it, or it is gone
            self._transport.abort()


class Audience(Generic[Frame]):
    """All open pages of a server. A frame that nobody waits for costs who brings it one assignment.

    Args:
        beside: where the server runs.
        most: how many may watch at once.
        encode: makes a message of a frame, once for everybody; called by the server.

    Attributes:
        newest: the newest frame and its number, from 1 on.
        viewers: who watches.
    """

    def __init__(self, beside: Background, most: int, encode: Callable[[Frame], bytes]) -> None:
        self.newest: tuple[int, Frame | None] = (0, None)
        self.viewers: set[Viewer] = set()
        self._beside, self._most, self._encode = beside, most, encode
        self._encoded: tuple[int, bytes] = (0, b"")
        self._fresh, self._wanted = asyncio.Event(), False

    def take(self, frame: Frame) -> None:
        """Make this the newest frame; from any thread."""
        self.newest = (self.newest[0] + 1, frame)
        if self._wanted:
            self._wanted = False
            self._beside.loop.call_soon_threadsafe(self._fresh.set)

    async def _pump(self) -> None:
        """Give the newest frame to every viewer that wants one, whenever there is one."""
        while True:
            await self._fresh.wait()
            self._fresh.clear()
            self._wanted = True  # said before looking, so that a frame that comes meanwhile is not missed
            number, frame = self.newest
            behind = [viewer for viewer in self.viewers if viewer.credit > 0 and viewer.sent < number]
            if frame is not None and behind:
                if self._encoded[0] != number:
                    self._encoded = (number, self._encode(frame))
                for viewer in behind:
                    viewer.give(number, self._encoded[1])
            self._wanted = any(viewer.credit > 0 for viewer in self.viewers)
            if self._wanted and self.newest[0] != number:
                self._fresh.set()

    async def welcome(
        self, request: web.Request, door: Door, hello: Callable[[], str] | None = None
    ) -> web.StreamResponse:
        """Let a page watch until it leaves, with a first text; where there is no room, say so."""
        line = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=1024, compress=False)
        await line.prepare(request)
        if len(self.viewers) >= self._most:
            reason = f"{len(self.viewers)} are watching already"
            await line.close(code=WSCloseCode.TRY_AGAIN_LATER, message=reason.encode())
            return line
        if request.transport is None:  # it left meanwhile
            return line
        door.stay(request.protocol)
        viewer = Viewer(line, request.transport)
        self.viewers.add(viewer)
        if hello is not None:
            viewer.note(hello())
        self._fresh.set()
        try:
            await viewer.serve(self._fresh)
        finally:
            self.viewers.discard(viewer)
        return line

    def note(self, text: str) -> None:
        """Send a text to everybody."""
        for viewer in self.viewers:
            viewer.note(text)

    async def stay(self, door: Door) -> None:
        """Have pages in and give them frames until the server is to end, then say goodbye to everybody."""
        pumping = asyncio.create_task(self._pump())
        await door.serve_until_over(self._beside)
        pumping.cancel()
        await asyncio.gather(*(viewer.leave("edgesdk stopped") for viewer in self.viewers))
