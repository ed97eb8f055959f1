"""What several tests share: a small set of real pictures, a network learned on it, and the files made of it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from apps import StartApp, running_apps
from edgesdk import verbs
from edgesdk.converted import Converted
from edgesdk.runfolder import Run
from edgesdk_device.web import litertjs

SHARED = Path(__file__).parents[2] / "shared" / "data"
COLORS = {"blue": (200, 40, 40), "green": (40, 200, 40), "red": (40, 40, 200)}


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Ctrl-C reaches the programs that tests start, also where a background shell ignores it for all below it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test writes into the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESDK_CACHE", str(folder))
        yield folder


@pytest.fixture
def litertjs_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files with LiteRT.js' names: a server hands them out, and nothing runs them."""
    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    home = tmp_path / "cache" / f"litertjs-{litertjs.VERSION}"
    home.mkdir(parents=True)
    for name in litertjs.NAMES:
        (home / name).write_text(name)
    return home


@pytest.fixture
def start_app() -> Iterator[StartApp]:
    with running_apps() as start:
        yield start


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 40 noisy pictures, 40x48 pixels, that differ in colour."""
    folder = tmp_path_factory.mktemp("colors") / "photos"
    write_photos(folder, 40)
    return folder


def write_photos(folder: Path, per_class: int) -> None:
    """Class folders of noisy coloured pictures."""
    rng = np.random.default_rng(0)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for index in range(per_class):
            noise = rng.integers(-40, 40, (40, 48, 3))
            picture = np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)
            assert cv2.imwrite(str(folder / name / f"{index:02d}.png"), picture)


@pytest.fixture(scope="session")
def run_folder(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a MobileNet V1 0.25-48 that learned the colours."""
    folder = tmp_path_factory.mktemp("learned") / "colors.run"
    run = verbs.train(photos, width=0.25, res=48, epochs=16, batch=16, out=folder)
    assert isinstance(run, Run)
    assert run.finished
    return folder


@pytest.fixture(scope="session")
def int8_file(run_folder: Path) -> Converted:
    """The int8 file of that network, uint8 in and out."""
    return verbs.convert(run_folder, out=run_folder.parent / "colors_int8.tflite")


@pytest.fixture(scope="session")
def float_file(run_folder: Path) -> Converted:
    """The float32 file of that network."""
    return verbs.convert(run_folder, quantize="float32", out=run_folder.parent / "colors_float32.tflite")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The photo sets and weights that are not part of the project; tests that need them are skipped without."""
    if not SHARED.is_dir():
        pytest.skip(f"the shared photo sets are not here ({SHARED})")
    return SHARED
