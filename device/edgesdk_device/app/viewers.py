"""Everybody who watches the page: each gets the newest frame when it asks, none can hold up another."""

import asyncio
import contextlib
from collections import deque

from aiohttp import WSCloseCode, WSMsgType, web

CREDIT = 2  # frames on their way to one viewer: one is drawn while the next travels
STUCK_S = 10.0
NOTES = 50


class Viewer:
    """One open page. It gets a frame for each one it has drawn, so that none waits in a buffer and grows old.

    Attributes:
        credit: how many frames it is still willing to take.
        sent: the number of the last frame it was given.
    """

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.credit = CREDIT
        self.sent = 0
        self._socket = socket
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._picture: bytes | None = None
        self._wake = asyncio.Event()

    def give(self, number: int, picture: bytes) -> None:
        """Send this frame next; it takes the place of one that did not leave yet."""
        self.credit -= 1
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

    async def leave(self, reason: str) -> None:
        """Close the line from this side."""
        await self._socket.close(code=WSCloseCode.GOING_AWAY, message=reason.encode())

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
        except (TimeoutError, ConnectionError):  # it does not read, or it is gone
            await self._socket.close()
