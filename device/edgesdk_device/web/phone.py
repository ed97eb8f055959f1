"""The workstation's side of the page on a phone: hands out the page and the files, takes figures and photos."""

import asyncio
import json
import queue
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edgesdk.contract import decode_value
from edgesdk.errors import BackendError, EdgeSDKError, MissingPackageError
from edgesdk.measurement import Measurement, Refused
from edgesdk_device.app.background import Background
from edgesdk_device.app.collect import check_label, save_frame
from edgesdk_device.app.door import GOODBYE_S, Door
from edgesdk_device.app.listening import listen, reachable
from edgesdk_device.app.settings import parse_address
from edgesdk_device.web import litertjs
from edgesdk_device.web.certificate import make_context
from edgesdk_device.web.posted import BACKENDS, Posted
from edgesdk_device.web.site import describe, read_models

try:
    from aiohttp import web

    from edgesdk_device.app.server import LOG
    from edgesdk_device.web.gate import Gate, add_headers
    from edgesdk_device.web.routes import page_routes
except ImportError as missing:
    raise MissingPackageError("aiohttp", "phone", "the phone's page") from missing

LARGEST_POST = 8 * 2**20
LARGEST_SIDE = 4096
MOST_CONNECTIONS = 128
SILENT_S = 30.0  # after which a phone that was measuring is taken for gone


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the page is to measure by itself.

    Attributes:
        backends: "wasm" and "webgpu".
        threads: of wasm; () for 1 and as many as the phone takes.
    """

    backends: tuple[str, ...] = tuple(BACKENDS)
    threads: tuple[int, ...] = ()
    quick: bool = False
    sustained_minutes: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Happening:
    """Something that a phone did.

    Attributes:
        kind: "joined", "measured", "saved", "done" (its task) or "left".
        phone: which one.
        row: what was measured.
        text: in words.
    """

    kind: str
    phone: str
    row: Measurement | Refused | None = None
    text: str = ""


class PhoneServer:
    """Serves the page over HTTPS until it is closed.

    Args:
        paths: files with a contract.
        address: [HOST:]PORT; without HOST all of this machine's networks.
        collect: where frames are saved under a label; None for nowhere.
        task: what a phone measures as soon as it opened the page; None where its user decides.
        archives: as for `find_litertjs`.

    Raises:
        ModelFileError: if a file is missing, damaged or carries no contract.
        ServeError: if the port is taken or the host is not this machine's.
        BackendError: if LiteRT.js cannot be had.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        *,
        address: str = "8443",
        collect: Path | str | None = None,
        task: Task | None = None,
        archives: Path | str | None = None,
    ) -> None:
        self._models = read_models(paths)
        self._runtime = litertjs.find_litertjs(archives)
        self._collect, self._task = collect, task
        host, port = parse_address(address if ":" in address else f"0.0.0.0:{address}")
        context = make_context(reachable(host))
        listening = listen(host, port)
        self._host, self._port = reachable(host), listening.getsockname()[1]
        self._gate = Gate(self._port, self._joined)
        self._happened: queue.Queue[Happening] = queue.Queue()
        self._heard: dict[str, float] = {}  # phones with a task -> when they last said something
        self._saving = ThreadPoolExecutor(1, "edgesdk save")
        self._beside = Background("edgesdk phone")
        self._beside.start(self._serve(listening, context))

    @property
    def address(self) -> str:
        """To open on a phone; each works once, so this changes whenever one did."""
        return f"https://{self._host}:{self._port}/?token={self._gate.token}"

    def happenings(self) -> Iterator[Happening]:
        """What phones do, as it happens, until the server is closed."""
        while self._beside.is_alive():
            try:
                yield self._happened.get(timeout=1.0)
            except queue.Empty:
                yield from self._gone()

    def close(self) -> None:
        """Stop; may be called twice."""
        self._beside.stop()
        self._saving.shutdown()

    def __enter__(self) -> "PhoneServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _gone(self) -> Iterator[Happening]:
        for phone, heard in list(self._heard.items()):
            if time.monotonic() - heard > SILENT_S:
                self._heard.pop(phone, None)
                yield Happening(kind="left", phone=phone, text=f"{phone} said nothing for {SILENT_S:.0f} s")

    def _joined(self, phone: str) -> None:
        self._heard_of(phone)
        self._happened.put(Happening(kind="joined", phone=phone))

    async def _serve(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        app = web.Application(middlewares=[self._gate.middleware], client_max_size=LARGEST_POST)
        app.on_response_prepare.extend([add_headers, self._stay])
        task = None if self._task is None else vars(self._task)
        told = describe(self._models, {"collect": self._collect is not None, "task": task})
        app.add_routes(page_routes(self._models, self._runtime, told))
        app.add_routes([web.post("/measured", self._measured), web.post("/save", self._save)])
        app.add_routes([web.post("/alive", self._alive), web.post("/done", self._done)])
        runner = web.AppRunner(app, access_log=None, logger=LOG, shutdown_timeout=1.0)
        await runner.setup()
        assert runner.server is not None
        self._door = Door(listening, runner.server, MOST_CONNECTIONS, context)
        await self._door.serve_until_over(self._beside)
        await runner.cleanup()
        await asyncio.sleep(2 * GOODBYE_S)  # TLS says goodbye on each connection, and hangs up after GOODBYE_S

    async def _stay(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        if response.status < 400:  # who holds a token may keep the connection
            self._door.stay(request.protocol)

    async def _measured(self, request: web.Request) -> web.Response:
        phone = self._gate.phone(request)
        try:
            posted = decode_value(Posted, json.loads(await request.read()), "measurement")
            assert isinstance(posted, Posted)
            row = posted.row(self._models[posted.model], phone)
        except (ValueError, OverflowError, RecursionError, IndexError, TypeError) as error:
            return _refusal(400, f"this is no measurement: {str(error)[:200]}")
        self._heard_of(phone)
        self._happened.put(Happening(kind="measured", phone=phone, row=row))
        return web.json_response({"taken": True})

    async def _alive(self, request: web.Request) -> web.Response:
        self._heard_of(self._gate.phone(request))
        return web.json_response({})

    async def _done(self, request: web.Request) -> web.Response:
        phone = self._gate.phone(request)
        self._heard.pop(phone, None)
        self._happened.put(Happening(kind="done", phone=phone))
        return web.json_response({})

    def _heard_of(self, phone: str) -> None:
        if self._task is not None:
            self._heard[phone] = time.monotonic()

    async def _save(self, request: web.Request) -> web.Response:
        phone = self._gate.phone(request)
        try:
            label = check_label(request.query.get("label", ""))
        except ValueError as error:
            return _refusal(400, str(error))
        if self._collect is None:
            return _refusal(409, "start edgesdk phone with --collect DIR")
        data = await request.read()
        try:
            name = await self._beside.loop.run_in_executor(self._saving, self._keep, label, data)
        except ValueError as error:
            return _refusal(400, str(error))
        except EdgeSDKError as error:
            return _refusal(507, str(error))
        self._happened.put(Happening(kind="saved", phone=phone, text=name))
        return web.json_response({"saved": name})

    def _keep(self, label: str, data: bytes) -> str:
        """A photo of the phone, decoded and written again as one of ours: nothing else of it gets to the disk."""
        from edgesdk.preprocess import decode_photo

        assert self._collect is not None
        if not data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8")) or max(_size(data)) > LARGEST_SIDE:
            raise ValueError(f"expected a PNG or JPEG of at most {LARGEST_SIDE} pixels a side")
        frame = decode_photo(data)
        if frame is None:
            raise ValueError("the photo does not decode: it was cut short")
        path = save_frame(self._collect, label, frame)
        return f"{path.parent.name}/{path.name}"


def bench_phone(paths: Sequence[Path | str], server: PhoneServer) -> list[Measurement | Refused]:
    """Wait for the first phone that joins to measure the server's task; where it leaves, a row says so.

    Raises:
        BackendError: if the phone leaves before it measured anything.
    """
    rows: list[Measurement | Refused] = []
    first = ""
    for happening in server.happenings():
        first = first or happening.phone
        if happening.phone != first:
            continue
        if happening.row is not None:
            rows.append(happening.row)
        if happening.kind == "left" and not rows:
            raise BackendError(f"{happening.text} and had measured nothing: keep its screen on, and start again")
        if happening.kind == "left":
            return rows + _unfinished(paths, rows, happening)
        if happening.kind == "done":
            break
    return rows


def _unfinished(paths: Sequence[Path | str], rows: list[Measurement | Refused], left: Happening) -> list[Refused]:
    """A row for each file that the phone had not begun, or for the one that it was at."""
    missing = [path for path in map(str, paths) if path not in {row.path for row in rows}] or [rows[-1].path]
    return [
        Refused(
            model=file.required_contract().name,
            path=str(file.path),
            sha256=file.sha256,
            backend="litertjs",
            threads=None,
            delegate="",
            reason=f"{left.text}: it left before it was done; keep its screen on",
            place=left.phone,
        )
        for file in read_models(missing)
    ]


def _size(data: bytes) -> tuple[int, int]:
    """(height, width) that a PNG or JPEG says of itself, before anything of it is decoded; raises ValueError."""
    if data.startswith(b"\x89PNG"):
        return int.from_bytes(data[20:24]), int.from_bytes(data[16:20])
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        if 0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 5 : at + 7]), int.from_bytes(data[at + 7 : at + 9])
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    raise ValueError("the photo does not say its size: it was cut short")


def _refusal(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
