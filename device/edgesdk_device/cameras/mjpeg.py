"""Motion JPEG over HTTP, as network cameras send it: one endless answer of many JPEGs (multipart/x-mixed-replace).

FFmpeg reads this too. Reading it here tells when a frame's first byte arrived, which frame is damaged and how the
connection ended, wakes at once when it is closed, and takes the faster JPEG decoder.
"""

import os
import socket
import time
import urllib.error
import urllib.request
from contextlib import suppress
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from edgesdk.errors import SourceError
from edgesdk_device.cameras.address import without_password
from edgesdk_device.cameras.frame import Frame
from edgesdk_device.cameras.jpeg import decode_jpeg
from edgesdk_device.cameras.live import CorruptFrameError

LARGEST_HEADER_BYTES = 16 * 2**10
LARGEST_FRAME_BYTES = 64 * 2**20
READ_BYTES = 256 * 2**10


class OtherStreamError(SourceError):
    """The address answers, with something else than motion JPEG."""


class MjpegReader:
    """One connection; see `live.Reader`.

    Args:
        url: http or https, with `user:password@` before the host where the camera asks for it (Basic or Digest).
        timeout_s: for the connection, for the answer and for each frame.

    Raises:
        OtherStreamError: if it may be a video of another kind.
        SourceError: if the address does not answer, or with no video at all.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._named, self._timeout_s = without_password(url), timeout_s
        self._response = _get(url, timeout_s)
        self._socket = socket.socket(fileno=os.dup(self._response.fileno()))
        kind = self._response.headers.get_content_type()
        if not kind.startswith("multipart/"):
            self.close()
            if kind.startswith(("text/", "application/json")):
                raise SourceError(f"{self._named} answers with {kind}, expected motion JPEG or another video")
            raise OtherStreamError(f"{self._named} answers with {kind}")
        boundary = str(self._response.headers.get_param("boundary") or "")
        self._boundary = b"--" + boundary.strip().lstrip("-").encode()  # some cameras count the dashes in, some do not
        self._buffer = bytearray()
        self._filled_at = self._deadline = 0.0

    def read(self) -> Frame:
        """The next frame."""
        self._deadline = time.monotonic() + self._timeout_s
        length = self._read_header()
        if not self._buffer:
            self._fill()
        began_at = self._filled_at
        data = self._take(length) if length else self._take_to_boundary()
        image = decode_jpeg(data)
        now = time.monotonic()
        return Frame(image=image, index=0, captured_at=now, capture_ms=(now - began_at) * 1e3)

    def interrupt(self) -> None:
        """Wake a `read` that waits: it finds the connection closed."""
        with suppress(OSError):  # it may be gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Hang up."""
        self.interrupt()
        self._socket.close()
        self._response.close()

    def _read_header(self) -> int:
        """Skip to the next part and over its header; its Content-Length, 0 where it has none."""
        while (start := self._buffer.find(self._boundary)) < 0:
            if len(self._buffer) > LARGEST_FRAME_BYTES:
                raise SourceError(f"{self._named} sends something else than motion JPEG")
            self._fill()
        del self._buffer[:start]
        while True:
            ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := self._buffer.find(mark)) >= 0]
            if ends:
                break
            if len(self._buffer) > LARGEST_HEADER_BYTES:
                raise SourceError(f"{self._named} sends something else than motion JPEG")
            self._fill()
        end, size = min(ends)
        header = Message()
        for line in self._buffer[:end].decode("latin-1").splitlines():
            name, colon, value = line.partition(":")
            if colon and name.strip().lower() not in header:
                header[name.strip()] = value.strip()
        del self._buffer[: end + size]
        length = str(header["Content-Length"] or "0")
        if not length.isdecimal() or int(length) > LARGEST_FRAME_BYTES:
            raise CorruptFrameError(f"its Content-Length is {length[:20]}")
        return int(length)

    def _take(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._fill()
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        return data

    def _take_to_boundary(self) -> bytes:
        seen = 0
        while (end := self._buffer.find(self._boundary, seen)) < 0:
            if len(self._buffer) > LARGEST_FRAME_BYTES:
                raise SourceError(f"{self._named} sends a frame without an end")
            seen = max(0, len(self._buffer) - len(self._boundary))
            self._fill()
        return self._take(end)

    def _fill(self) -> None:
        """Wait for more bytes."""
        try:
            data = self._response.read1(READ_BYTES)
        except TimeoutError as error:
            raise SourceError(f"{self._named} sent nothing for {self._timeout_s:g} s") from error
        except (OSError, HTTPException, ValueError) as error:  # ValueError: closed meanwhile
            raise SourceError(f"{self._named} broke off: {error}") from error
        if not data:
            raise SourceError(f"{self._named} ended")
        self._filled_at = time.monotonic()
        if self._filled_at > self._deadline:
            raise SourceError(f"{self._named} did not finish a frame within {self._timeout_s:g} s")
        self._buffer += data


class _NoFtp(urllib.request.FTPHandler):
    """Where a camera sends us elsewhere, it is to HTTP: what FTP answers is no response of a camera."""

    def ftp_open(self, _: urllib.request.Request) -> NoReturn:
        raise urllib.error.URLError("it leads to FTP")


def _get(url: str, timeout_s: float) -> HTTPResponse:
    named, parts = without_password(url), urlsplit(url)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    handlers: list[urllib.request.BaseHandler] = [_NoFtp()]
    if parts.username is not None:
        keys = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        keys.add_password(None, address, unquote(parts.username), unquote(parts.password or ""))
        handlers += [urllib.request.HTTPBasicAuthHandler(keys), urllib.request.HTTPDigestAuthHandler(keys)]
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "edgesdk"})
        response = urllib.request.build_opener(*handlers).open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            way_out = (
                "name the user and password as in http://user:password@host"
                if error.code == 401
                else "check the path of the address"
            )
            raise SourceError(f"cannot open {named}: it answers {error.code} {error.reason}; {way_out}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise SourceError(
            f"cannot open {named} ({reason}): check that the address answers, in a browser for example"
        ) from error
    assert isinstance(response, HTTPResponse)
    return response
