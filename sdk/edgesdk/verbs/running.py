"""Prove and run a file on this machine: what `edgesdk verify`, `run` and `doctor` do."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesdk.choice import name_runtime
from edgesdk.results import Check, Verified

if TYPE_CHECKING:
    from edgesdk_device.app import AppSettings, CameraApp
    from edgesdk_device.backends import Delegate
    from edgesdk_device.cameras import Source


def verify(
    path: Path | str,
    *,
    backend: str = "auto",
    threads: int | None = None,
    delegate: "Delegate | None" = None,
    trust: bool = False,
    quiet: bool = True,
) -> Verified:
    """Replay the golden outputs of a .tflite on this machine; the arguments are `Classifier`'s.

    Raises:
        ModelFileError: if the file is damaged or has no contract.
        BackendError: if no runtime takes it.
    """
    if delegate is not None or backend == "litert-gpu":  # a driver or a delegate may take its process down
        from edgesdk_device.replay import replay_apart

        name = name_runtime(backend, threads or 1, "" if delegate is None else delegate.name)
        return replay_apart(path, backend, name, threads=threads, delegate=delegate)
    from edgesdk_device.classifier import Model

    with Model(path, backend=backend, threads=threads, delegate=delegate, quiet=quiet, trust=trust) as model:
        return model.verify()


def run(
    path: Path | str,
    *,
    app: "AppSettings | Path | str | None" = None,
    source: "str | int | Source | None" = None,
    backend: str | None = None,
    threads: int | None = None,
    delegate: "Delegate | None" = None,
    frames: int | None = None,
    events: Path | str | None = None,
    serve: str | int | None = None,
    quiet: bool = True,
) -> "CameraApp":
    """Classify the frames of a source one after another, until it ends or `frames` were seen.

        for seen in edgesdk.run("model.tflite", source=0, serve=8000):
            print(seen.label, seen.answer.age_ms)

    Args:
        app: everything that can be set, as a value or as the path of an app file.
        source, backend, threads, delegate, events, serve: come before what `app` says; see `AppSettings`. A source may
            also be an open one, of any kind.

    Returns:
        What to iterate over, once; leaving its `with` block, or the loop, closes everything.

    Raises:
        EdgeSDKError: if the model, the source, a file or a port does not open.
        ValueError: if a setting is not allowed.
    """
    from edgesdk_device.app import AppSettings, CameraApp, read_app

    said: dict[str, Any] = {"backend": backend, "threads": threads}
    texts = {"events": events, "serve": serve, "source": source if isinstance(source, str | int) else None}
    said |= {name: str(value) for name, value in texts.items() if value is not None}
    if delegate is not None:
        said |= {"delegate": str(delegate.path), "delegate_options": delegate.options}
    said = {name: value for name, value in said.items() if value is not None}
    settings = app if isinstance(app, AppSettings) else AppSettings() if app is None else read_app(app)
    opened = None if source is None or isinstance(source, str | int) else source
    return CameraApp(path, replace(settings, **said), source=opened, frames=frames, quiet=quiet)


def doctor(path: Path | str | None = None, *, delegate: "Delegate | None" = None) -> list[Check]:
    """Which runtimes, cameras and extras work here, and how to get the rest.

    Args:
        path: a .tflite to try on every runtime here; what "auto" takes for it is chosen anew.
        delegate: tried with the file, too.

    Raises:
        ValueError: if a delegate is named without a file.
        ModelFileError: if the file is missing, damaged or has no contract.
    """
    from edgesdk_device.probe import probe, probe_file

    if path is None and delegate is not None:
        raise ValueError("a delegate is tried with a model: name a file, too")
    return probe() + ([] if path is None else probe_file(Path(path), delegate))
