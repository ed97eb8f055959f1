"""Cameras on the network that do what a test wants: HTTP motion JPEG by hand, RTSP with ffmpeg behind it."""

import contextlib
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import pytest

HEADER = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
Script = Callable[[socket.socket], None]


def jpeg(value: int, height: int = 48, width: int = 64) -> bytes:
    """A grey picture as JPEG."""
    return cv2.imencode(".jpg", np.full((height, width, 3), value, np.uint8))[1].tobytes()


def part(data: bytes, length: bool = True) -> bytes:
    """A JPEG as one part of the endless answer."""
    extra = b"Content-Length: %d\r\n" % len(data) if length else b""
    return b"--frame\r\nContent-Type: image/jpeg\r\n" + extra + b"\r\n" + data + b"\r\n"


def frames(count: int = 10**9, fps: float = 100.0, length: bool = True) -> Script:
    """Send so many frames, each of another grey."""

    def run(connection: socket.socket) -> None:
        connection.sendall(HEADER)
        for index in range(count):
            connection.sendall(part(jpeg(index * 10 % 250), length))
            time.sleep(1 / fps)

    return run


def silence(connection: socket.socket) -> None:
    """Say nothing until the other side hangs up."""
    while connection.recv(4096):
        pass


def then(*scripts: Script) -> Script:
    """One after another on the same connection."""

    def run(connection: socket.socket) -> None:
        for script in scripts:
            script(connection)

    return run


def send(data: bytes) -> Script:
    """Send bytes."""
    return lambda connection: connection.sendall(data)


class HttpCamera:
    """A server whose nth connection plays the nth script, the last one from then on."""

    def __init__(self, *scripts: Script, port: int = 0) -> None:
        self._scripts, self._open, self.requests = scripts, set[socket.socket](), list[bytes]()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/video"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                script = self._scripts[min(len(self.requests), len(self._scripts) - 1)]
                self.requests.append(connection.recv(65536))
                self._threads.append(threading.Thread(target=self._play, args=(connection, script), daemon=True))
                self._threads[-1].start()

    def _play(self, connection: socket.socket, script: Script) -> None:
        with contextlib.suppress(OSError):
            script(connection)
        self._open.discard(connection)
        connection.close()

    def kill(self) -> None:
        """Reset every connection and refuse new ones."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class RtspCamera:
    """An RTSP server for one viewer after another: ffmpeg makes the RTP packets of a test picture, TCP carries them."""

    def __init__(self, folder: Path, port: int = 0, fps: int = 30) -> None:
        if shutil.which("ffmpeg") is None:
            pytest.skip("ffmpeg is not installed: nothing here can send RTSP")
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind(("127.0.0.1", 0))
        sdp = folder / f"{self._rtp.getsockname()[1]}.sdp"
        picture = f"testsrc2=size=320x240:rate={fps}"
        target = f"rtp://127.0.0.1:{self._rtp.getsockname()[1]}"
        encoder = ["-c:v", "mpeg4", "-g", "10", "-f", "rtp", "-sdp_file", str(sdp), target]
        command = ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", picture, *encoder]
        self._ffmpeg = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        while not (sdp.exists() and b"a=fmtp" in sdp.read_bytes()):
            assert self._ffmpeg.poll() is None
            time.sleep(0.02)
        lines = [line for line in sdp.read_text().splitlines() if not line.startswith(("SDP:", "c="))]
        media = ["m=video 0 RTP/AVP 96" if line.startswith("m=video") else line for line in lines]
        self._sdp = "\r\n".join([*media, "a=control:track", ""])
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/camera"
        self._viewer: socket.socket | None = None
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._serve, self._forward)]
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with contextlib.suppress(OSError), connection.makefile("rb") as asked:
                    while start := asked.read(1):
                        if start == b"$":  # receiver reports come between the requests
                            asked.read(int.from_bytes(asked.read(3)[1:], "big"))
                            continue
                        lines = [start + asked.readline()]
                        while (line := asked.readline()).strip():
                            lines.append(line)
                        self._reply(connection, b"".join(lines).decode("latin-1"))
                self._viewer = None
                connection.close()

    def _reply(self, connection: socket.socket, request: str) -> None:
        method = request.split()[0]
        number = next((one for one in request.splitlines() if one.lower().startswith("cseq")), "")  # none if cut short
        extra = {
            "OPTIONS": "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
            "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(self._sdp)}\r\n",
            "SETUP": "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
        }.get(method, "Session: 1\r\n")
        body = self._sdp if method == "DESCRIBE" else ""
        connection.sendall(f"RTSP/1.0 200 OK\r\n{number}\r\n{extra}\r\n{body}".encode())
        if method == "PLAY":
            self._viewer = connection

    def _forward(self) -> None:
        while (packet := self._rtp.recv(65536)) != b"end":
            if self._viewer is not None:
                with contextlib.suppress(OSError):
                    self._viewer.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)

    def pause(self) -> None:
        """Keep the connection and send nothing more."""
        self._viewer = None

    def kill(self) -> None:
        """End ffmpeg, hang up and refuse new viewers."""
        self._ffmpeg.kill()
        self._ffmpeg.wait()
        viewer = self._viewer
        for one in (self._listener, viewer):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", self._rtp.getsockname())
        for thread in self._threads:
            thread.join(5)
        self._rtp.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
