"""A camera's compressed frames for whoever watches: the page decodes them in the browser."""

import asyncio
import os
import socket
import ssl
from pathlib import Path

from edgesdk.errors import MissingPackageError
from edgesdk_device.app.background import Background
from edgesdk_device.app.door import GOODBYE_S, Door
from edgesdk_device.app.listening import listen, reachable
from edgesdk_device.app.settings import LOOPBACK, parse_address
from edgesdk_device.web import litertjs
from edgesdk_device.web.certificate import make_context
from edgesdk_device.web.site import describe, read_models

try:
    from aiohttp import web

    from edgesdk_device.app.guard import Guard
    from edgesdk_device.app.server import LOG, SPARE_CONNECTIONS, TOKEN_VARIABLE
    from edgesdk_device.app.viewers import HEARTBEAT_S, Audience
    from edgesdk_device.web.gate import add_headers
    from edgesdk_device.web.routes import page_routes
except ImportError as missing:
    raise MissingPackageError("aiohttp", "phone", "the page") from missing


class LiveServer:
    """Serves the page of a codec, and sends it the newest frame whenever it asks, until it is closed.

    Who may watch is as for the camera app's page: on loopback everybody on this machine, elsewhere who has the token.
    There it speaks HTTPS, because a browser checks no hashes and has no WebGPU on other pages.

    Args:
        codec: a codec's folder or name.
        address: [HOST:]PORT; loopback where no host is named.
        viewers: how many may watch at once.
        archives: as for `find_litertjs`.

    Attributes:
        address: to open in a browser; holds the token where one is needed.

    Raises:
        ModelFileError: if the decoder is missing or damaged.
        ServeError: if the port is taken or the host is not this machine's.
        BackendError: if LiteRT.js cannot be had.
    """

    def __init__(
        self, codec: Path | str, address: str, *, viewers: int = 20, archives: Path | str | None = None
    ) -> None:
        self._models = read_models([codec])
        self._runtime = litertjs.find_litertjs(archives)
        host, port = parse_address(address)
        secure = host not in LOOPBACK
        context = make_context(reachable(host)) if secure else None
        listening = listen(host, port)
        port = listening.getsockname()[1]
        self._guard = Guard(host, port, os.environ.get(TOKEN_VARIABLE), secure=secure)
        self.address = f"http{'s' if secure else ''}://{reachable(host)}:{port}/{self._guard.query}"
        self._most = viewers + SPARE_CONNECTIONS
        self._beside = Background("edgesdk live")
        self._audience: Audience[bytes] = Audience(self._beside, viewers, bytes)
        self._beside.start(self._serve(listening, context))

    def take(self, stream: bytes) -> None:
        """Make this the newest frame: a session with one message, or a picture's stream."""
        self._audience.take(stream)

    def close(self) -> None:
        """Stop; may be called twice."""
        self._beside.stop()

    def __enter__(self) -> "LiveServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _serve(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        app = web.Application(middlewares=[self._guard.middleware], client_max_size=1024)
        app.on_response_prepare.extend([add_headers, self._stay])
        told = describe(self._models, None) | {"live": True}
        app.add_routes([*page_routes(self._models, self._runtime, told), web.get("/live", self._live)])
        runner = web.AppRunner(app, access_log=None, logger=LOG, keepalive_timeout=HEARTBEAT_S, shutdown_timeout=1.0)
        await runner.setup()
        assert runner.server is not None
        self._door = Door(listening, runner.server, self._most, context)
        await self._audience.stay(self._door)
        await runner.cleanup()
        if context is not None:
            await asyncio.sleep(2 * GOODBYE_S)

    async def _stay(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        if response.status < 400:  # LiteRT.js takes a slow network longer than a stranger gets
            self._door.stay(request.protocol)

    async def _live(self, request: web.Request) -> web.StreamResponse:
        return await self._audience.welcome(request, self._door)
