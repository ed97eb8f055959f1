"""The web page: served by a thread of its own, which takes the newest frame whenever somebody wants to see it."""

import json
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

from edgesdk.errors import EdgeSDKError, MissingPackageError
from edgesdk_device.app.background import Background
from edgesdk_device.app.collect import check_label, save_frame
from edgesdk_device.app.decisions import Event
from edgesdk_device.app.door import Door
from edgesdk_device.app.events import event_to_json
from edgesdk_device.app.listening import listen, reachable
from edgesdk_device.app.look import cut
from edgesdk_device.app.meter import Meter
from edgesdk_device.app.picture import Facts, frame_message, small_jpeg
from edgesdk_device.app.seen import Seen
from edgesdk_device.app.settings import AppSettings, parse_address

try:
    from aiohttp import web

    from edgesdk_device.app.guard import Guard, add_headers
    from edgesdk_device.app.viewers import HEARTBEAT_S, Audience
except ImportError as missing:
    raise MissingPackageError("aiohttp", "app", "the web page") from missing

#: aiohttp tells every malformed request with its traceback: to who configures logging, not to the terminal.
LOG = logging.getLogger(__name__)
LOG.addHandler(logging.NullHandler())
PAGE = {"/": "index.html"} | {f"/{name}": name for name in ("theme.css", "page.css", "page.js", "icon.svg")}
TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
RECENT = 50
LARGEST_REQUEST = 4096
SPARE_CONNECTIONS = 64
TOKEN_VARIABLE = "EDGESDK_TOKEN"


class PageServer:
    """Serves the page until it is closed.

    A frame is encoded here, once for all viewers, and only where one waits for it.

    Args:
        settings: `serve`, `viewers`, `collect` and the region that is drawn.
        labels, model: of the classifier.
        tell: takes the event that a frame was saved; called on a thread of the server.

    Attributes:
        address: to open in a browser; holds the token where one is needed.

    Raises:
        ServeError: if the port is taken or the host is not this machine's.
    """

    def __init__(
        self, settings: AppSettings, *, labels: Sequence[str], model: str, tell: Callable[[Event], None]
    ) -> None:
        assert settings.serve is not None
        host, port = parse_address(settings.serve)
        listening = listen(host, port)
        port = listening.getsockname()[1]
        self._guard = Guard(host, port, os.environ.get(TOKEN_VARIABLE))
        self.address = f"http://{reachable(host)}:{port}/{self._guard.query}"
        self._settings, self._labels, self._model, self._tell = settings, list(labels), model, tell
        self._meter, self._facts = Meter(), Facts()
        self._events: deque[dict[str, object]] = deque(maxlen=RECENT)
        self._saving = ThreadPoolExecutor(1, "edgesdk save")  # a memory card's sync must not hold up the page
        self._beside = Background("edgesdk page")
        self._audience = Audience(self._beside, settings.viewers, self._message)
        self._beside.start(self._serve(listening))

    def take(self, seen: Seen) -> None:
        """Make this the newest frame."""
        self._meter.add(time.monotonic(), seen.answer.age_ms)
        self._audience.take(seen)

    def tell(self, event: Event) -> None:
        """Show an event on every page."""
        self._beside.loop.call_soon_threadsafe(self._note, event_to_json(event))

    def close(self) -> None:
        """Say goodbye to everybody and stop the thread; may be called twice."""
        self._beside.stop()
        self._saving.shutdown()

    async def _serve(self, listening: socket.socket) -> None:
        app = web.Application(middlewares=[self._guard.middleware], client_max_size=LARGEST_REQUEST)
        app.on_response_prepare.append(add_headers)
        app.add_routes([web.get(path, self._page) for path in PAGE])
        app.add_routes([web.get("/live", self._live), web.get("/state.json", self._state)])
        app.add_routes([web.get("/frame.jpg", self._frame), web.post("/save", self._save)])
        runner = web.AppRunner(app, access_log=None, logger=LOG, keepalive_timeout=HEARTBEAT_S, shutdown_timeout=1.0)
        await runner.setup()
        server = runner.server
        assert server is not None
        self._door = Door(listening, server, self._settings.viewers + SPARE_CONNECTIONS)
        await self._audience.stay(self._door)
        await runner.cleanup()

    def _note(self, event: dict[str, object]) -> None:
        self._events.append(event)
        self._audience.note(json.dumps(event, ensure_ascii=False))

    async def _page(self, request: web.Request) -> web.Response:
        name = PAGE[request.path]
        content = (files("edgesdk_device.app") / "page" / name).read_bytes()
        return web.Response(body=content, content_type=TYPES[name.rpartition(".")[2]], charset="utf-8")

    async def _live(self, request: web.Request) -> web.StreamResponse:
        return await self._audience.welcome(request, self._door, self._hello)

    def _hello(self) -> str:
        hello = {
            "event": "hello",
            "model": self._model,
            "labels": self._labels,
            "region": self._settings.decisions.region,
            "collect": self._settings.collect is not None,
            "events": list(self._events),
        }
        return json.dumps(hello, ensure_ascii=False)

    def _message(self, seen: Seen) -> bytes:
        return frame_message(
            self._facts.of(seen, self._meter.pace(time.monotonic())), small_jpeg(seen.answer.frame.image)
        )

    async def _state(self, _: web.Request) -> web.Response:
        facts = self._facts.of(self._audience.newest[1], self._meter.pace(time.monotonic()))
        return web.json_response({"model": self._model, "viewers": len(self._audience.viewers), **facts})

    async def _frame(self, _: web.Request) -> web.Response:
        seen = self._audience.newest[1]
        if seen is None:
            raise web.HTTPServiceUnavailable(text="No frame came yet.\n")
        return web.Response(body=small_jpeg(seen.answer.frame.image), content_type="image/jpeg")

    async def _save(self, request: web.Request) -> web.Response:
        try:
            wish = await request.json()
            label = check_label(wish["label"] if isinstance(wish["label"], str) else "")
        except (LookupError, TypeError, UnicodeError, json.JSONDecodeError, RecursionError):
            return _refusal(400, 'expected {"label": "..."}')
        except ValueError as error:
            return _refusal(400, str(error))
        seen = self._audience.newest[1]
        if self._settings.collect is None or seen is None:
            return _refusal(409, "no frame came yet" if seen is None else "start edgesdk run with --collect DIR")
        try:
            path = await self._beside.loop.run_in_executor(self._saving, self._keep, label, seen)
        except EdgeSDKError as error:
            return _refusal(507, str(error))
        return web.json_response({"saved": path})

    def _keep(self, label: str, seen: Seen) -> str:
        """What the classifier saw of the frame becomes a photo; returns where, seen from the folder."""
        assert self._settings.collect is not None
        frame = seen.answer.frame
        path = save_frame(self._settings.collect, label, cut(frame.image, self._settings.decisions.region))
        name = f"{path.parent.name}/{path.name}"
        self._tell(Event(kind="saved", at=time.monotonic(), label=label, frame=frame.index, text=name))
        return name


def _refusal(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
