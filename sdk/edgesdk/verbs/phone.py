"""The verbs of the page in a browser: serve it to a phone, measure with it, write it as a static site."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk.measurement import Measurement, Refused
from edgesdk.verbs.paths import Paths, each

if TYPE_CHECKING:
    from edgesdk_device.web.phone import PhoneServer

BACKENDS = {"litertjs-wasm": "wasm", "litertjs-webgpu": "webgpu"}


def phone(
    paths: Paths,
    *,
    serve: str = "8443",
    collect: Path | str | None = None,
    litertjs: Path | str | None = None,
) -> "PhoneServer":
    """A server whose page proves, runs and measures files in a phone's browser; close it, or use it with `with`.

    Args:
        paths: files with a contract; a codec's folder or name stands for its decoder.
        serve: [HOST:]PORT; without HOST on every network of this machine. 0 takes a free port.
        collect: the folder where the page saves frames under a label; None takes none.
        litertjs: folder with the packages as `npm pack` wrote them, where npm is not on this machine.

    Raises:
        ModelFileError: if a file is missing, damaged or carries no contract.
        ServeError: if the port is taken or the host is not this machine's.
        BackendError: if LiteRT.js is not in the cache and cannot be fetched.
    """
    from edgesdk_device.web.phone import PhoneServer

    return PhoneServer(each(paths), address=serve, collect=collect, archives=litertjs)


def bench_phone(
    paths: Paths,
    *,
    backends: Sequence[str] = ("auto",),
    threads: Sequence[int | None] = (None,),
    sustained_minutes: float = 0.0,
    quick: bool = False,
    serve: str = "8443",
    tell: Callable[[str], None] = print,
) -> list[Measurement | Refused]:
    """Measure files in the browser of the first phone that opens the page.

    Args:
        backends: of "litertjs-wasm" and "litertjs-webgpu"; "auto" is both.
        threads: of wasm; None is 1 and as many as the browser takes, up to 4.
        sustained_minutes: how long each is watched at a camera's pace, a value a minute.
        quick: a few seconds each instead of half a minute.
        serve: as for `phone`.
        tell: is given the address for the phone to open.

    Raises:
        ValueError: if a backend is none of the page's.
        BackendError: if the phone leaves before it measured anything.
        EdgeSDKError: as `phone`.
    """
    unknown = [name for name in backends if name != "auto" and name not in BACKENDS]
    if unknown:
        raise ValueError(f"backend is {unknown[0]!r}, on a phone expected auto or one of {', '.join(BACKENDS)}")
    from edgesdk_device.web.phone import PhoneServer, Task
    from edgesdk_device.web.phone import bench_phone as measure_there

    task = Task(
        backends=tuple(BACKENDS.values() if "auto" in backends else (BACKENDS[name] for name in backends)),
        threads=tuple(count for count in threads if count),
        quick=quick,
        sustained_minutes=sustained_minutes,
    )
    with PhoneServer(each(paths), address=serve, task=task) as server:
        tell(server.address)
        return measure_there(each(paths), server)


def build_site(paths: Paths, out: Path | str, *, litertjs: Path | str | None = None) -> Path:
    """Write a folder that any web server can serve: the page, LiteRT.js and the files; it sends nothing to anybody.

    Args:
        paths: as for `phone`.
        out: a new folder, or an older site of ours, which is replaced.
        litertjs: as for `phone`.

    Raises:
        ModelFileError, BackendError: as `phone`.
        WriteError: if the folder cannot be written, or holds something else.
    """
    from edgesdk_device.web.site import build_site as write_site

    return write_site(each(paths), out, archives=litertjs)
