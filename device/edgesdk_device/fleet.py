"""Several devices of a file, measured at once.

[devices.kitchen]
on = "pi@kitchen"
[devices.door]
on = "pi@door"
command = "/opt/edgesdk/bin/edgesdk"
backends = ["litert"]
threads = [1, 4]
[devices.desk]
on = "here"
"""

import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesdk import modelfile
from edgesdk.bounded import SETTINGS_BYTES, read_bounded
from edgesdk.contract import decode_value
from edgesdk.errors import EdgeSDKError, MeasurementError, NothingMeasuredError
from edgesdk.measurement import Measurement, Refused
from edgesdk_device.backends import check_backend
from edgesdk_device.bench import Extra, measure_all
from edgesdk_device.remote import Host, bench_on

HERE = "here"


@dataclass(frozen=True, kw_only=True)
class Device:
    """One table of the file.

    Attributes:
        on: "here", or as `Host.address`.
        command: edgesdk there.
        backends, threads: as in `edgesdk.bench`; a thread count of 0 is chosen there.
    """

    on: str
    command: str = "edgesdk"
    backends: tuple[str, ...] = ("auto",)
    threads: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.on != HERE:
            Host(address=self.on)
        if not self.backends or not self.threads:
            raise ValueError("backends or threads is empty, expected one or more")
        for name in self.backends:
            for count in self.threads:
                check_backend(name, count or None)


def read_fleet(path: Path | str) -> dict[str, Device]:
    """The devices of a file by their names.

    Raises:
        MeasurementError: if it is missing, is no TOML, names no device, or says what does not exist.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(read_bounded(path, SETTINGS_BYTES).decode())
        devices: dict[str, Any] = tables.pop("devices", {})
        if tables:
            raise ValueError(f"it has {next(iter(tables))!r}")
        known = set(Device.__dataclass_fields__)
        for name, table in devices.items():
            if not isinstance(table, dict):
                raise ValueError(f"devices.{name} is {table!r}")
            unknown = set(table) - known
            if unknown:
                raise ValueError(f"devices.{name} has {sorted(unknown)[0]!r}, expected {', '.join(sorted(known))}")
        found = {name: decode_value(Device, table, f"devices.{name}") for name, table in devices.items()}
    except OSError as error:
        raise MeasurementError(f"cannot read the fleet {path}: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)[:200]
        raise MeasurementError(f"{path} is no fleet file ({reason}): expected [devices.NAME] with on = ...") from error
    if not found:
        raise MeasurementError(f"{path} names no device: expected [devices.NAME] with on = 'user@host' or 'here'")
    return found


def bench_fleet(
    paths: Sequence[Path], devices: dict[str, Device], extra: Extra, *, quick: bool, quiet: bool
) -> list[Measurement | Refused]:
    """Every file on every device; one that is lost is a row with its reason. `extra` names no data.

    Raises:
        ModelFileError: if a file is missing or damaged.
        NothingMeasuredError: if no device measured anything.
    """
    for path in paths:
        modelfile.read(path).required_contract()
    with ThreadPoolExecutor(len(devices)) as pool:
        answers = pool.map(lambda item: _ask(paths, extra, *item, quick=quick, quiet=quiet), devices.items())
        rows = [row for answer in answers for row in answer]
    if all(isinstance(row, Refused) for row in rows):
        raise NothingMeasuredError(rows)
    return rows


def _ask(
    paths: Sequence[Path], extra: Extra, name: str, device: Device, *, quick: bool, quiet: bool
) -> list[Measurement | Refused]:
    threads = [count or None for count in device.threads]
    try:
        if device.on == HERE:
            rows = measure_all(paths, device.backends, threads, extra=extra, quick=quick, quiet=True)
            return [replace(row, place=name) for row in rows]
        host = Host(address=device.on, command=device.command, name=name)
        return bench_on(
            paths,
            host,
            backends=device.backends,
            threads=threads,
            source=extra.source,
            sustained_minutes=extra.sustained_minutes,
            quick=quick,
            quiet=quiet,
        )
    except EdgeSDKError as error:
        return [
            Refused(
                model=file.required_contract().name,
                path=str(file.path),
                sha256=file.sha256,
                backend=device.backends[0],
                threads=threads[0],
                delegate="",
                reason=str(error),
                place=name,
            )
            for file in map(modelfile.read, paths)
        ]
