"""The verbs that measure: on this machine, on another one, on an Android device, on a fleet."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk.measurement import Measurement, OnAndroid, Refused
from edgesdk.verbs.paths import Paths, each

if TYPE_CHECKING:
    from edgesdk_device.backends import Delegate


def bench(
    paths: Paths,
    *,
    data: Path | str | None = None,
    backends: Sequence[str] = ("auto",),
    threads: Sequence[int | None] = (None,),
    delegate: "Delegate | None" = None,
    source: str = "memory",
    sustained_minutes: float = 0.0,
    quick: bool = False,
    quiet: bool = True,
) -> list[Measurement | Refused]:
    """Measure files on this machine, each with each backend and number of threads in a process of its own.

    Args:
        data: labelled photos; adds accuracy on the test split; where there is none, on what was held out while the
            file learned these very photos, else on all.
        backends, threads: what is left open ("auto", None) is chosen as `Classifier` does it.
        delegate: each is measured without it and with it.
        source: of the frames that come at a camera's pace, as `Stream` takes them; files give 30 a second, and so do
            the frames that lie in "memory".
        sustained_minutes: how long each is watched at that pace, a value a minute.
        quick: about two seconds each instead of half a minute.

    Returns:
        One row each; what is refused, dies or gives other outputs than the golden ones is a row with its reason.

    Raises:
        EdgeSDKError, ValueError: one sentence each, also where every row was refused.
    """
    from edgesdk_device.bench import Extra, measure_all

    extra = Extra(data=data, source=source, sustained_minutes=sustained_minutes)
    files = [Path(path) for path in each(paths)]
    return measure_all(files, backends, threads, delegate, extra=extra, quick=quick, quiet=quiet)


def bench_android(
    paths: Paths,
    serial: str,
    *,
    backends: Sequence[str] = ("auto",),
    threads: Sequence[int | None] = (None,),
    delegate: "Delegate | None" = None,
) -> list[OnAndroid | Refused]:
    """Measure files on an Android device with Android's own benchmark_model, over adb: not verified on hardware.

    The tool feeds random values: it measures, and does not prove that the outputs are the golden ones.

    Args:
        serial: of the device, as `adb devices` lists it.
        backends: "auto" and "litert" are the CPU with XNNPACK, "litert-gpu" the GPU, "nnapi" the deprecated NNAPI.
        threads: None is 1.
        delegate: a library built for the device; it is copied there and measured, too.

    Raises:
        ValueError: if a backend is none that the tool knows.
        ModelFileError: if a file is missing or damaged.
        BackendError: if adb, the device or the tool is missing, or every row was refused.
    """
    from edgesdk_device.android import measure_on_android

    return measure_on_android([Path(path) for path in each(paths)], serial, backends, threads, delegate)


def bench_on(
    paths: Paths,
    host: str,
    *,
    backends: Sequence[str] = ("auto",),
    threads: Sequence[int | None] = (None,),
    source: str = "memory",
    sustained_minutes: float = 0.0,
    quick: bool = False,
    quiet: bool = True,
) -> list[Measurement | Refused]:
    """Measure files on another machine over OpenSSH, as `bench` does it there.

    It is asked with `doctor` first and gets each file once. It goes on without us: after a lost connection the same
    call finds what was measured.

    Args:
        host: USER@HOST, which `ssh` reaches without a password.
        source: of that machine, such as its camera.

    Raises:
        MeasurementError: if the host is lost or has no edgesdk.
        EdgeSDKError, ValueError: as `bench`.
    """
    from edgesdk_device.remote import Host
    from edgesdk_device.remote import bench_on as measure_there

    files = [Path(path) for path in each(paths)]
    return measure_there(
        files,
        Host(address=host),
        backends=backends,
        threads=threads,
        source=source,
        sustained_minutes=sustained_minutes,
        quick=quick,
        quiet=quiet,
    )


def bench_fleet(
    paths: Paths,
    fleet: Path | str,
    *,
    source: str = "memory",
    sustained_minutes: float = 0.0,
    quick: bool = False,
    quiet: bool = True,
) -> list[Measurement | Refused]:
    """Measure files on all devices of a fleet file at once; `place` of each row is the device's name.

    Raises:
        MeasurementError: if the fleet file is missing or wrong.
        EdgeSDKError: as `bench`; a device that is lost is a row with its reason.
    """
    from edgesdk_device.bench import Extra
    from edgesdk_device.fleet import bench_fleet as measure_everywhere
    from edgesdk_device.fleet import read_fleet

    extra = Extra(source=source, sustained_minutes=sustained_minutes)
    return measure_everywhere([Path(path) for path in each(paths)], read_fleet(fleet), extra, quick=quick, quiet=quiet)
