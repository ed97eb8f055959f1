"""A real Ray cluster in this machine: cells and teams on it, their loss and their interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgesdk import cli, verbs
from edgesdk.errors import DataError, EngineError
from edgesdk.grid import rayteam
from edgesdk.grid.engine import Engine, LocalEngine, make_engine
from edgesdk.grid.rayengine import check_version
from edgesdk.grid.rayteam import RayTeam
from edgesdk.grid.workshop import Workshop
from edgesdk.photos.data import load_images, read_dataset, split_dataset
from edgesdk.photos.packing import pack
from edgesdk.preprocess import input_of
from edgesdk.runfolder import Learning, Methods, Run, read_run
from edgesdk.spec import ModelSpec
from edgesdk_train.team import Team

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'edgesdk[ray]'")
CPUS = os.cpu_count() or 1
EPOCHS = 4
SPECS = [ModelSpec(arch="convnet", width=width, res=32, classes=3) for width in (0.1, 0.2, 0.3, 0.4)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A cluster that runs two tasks at once, each with as many threads as this process has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))  # the steps below
        ray.init(num_cpus=2 * CPUS, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
        ray.shutdown()


@pytest.fixture
def engine(cluster: None) -> Engine:
    return make_engine("ray", cpus=CPUS)


def workshop(photos: Path, folder: Path) -> Workshop:
    folder.mkdir()
    return Workshop(
        dataset=split_dataset(read_dataset(photos)),
        data=str(photos),
        weights="none",
        learning=Learning(epochs=4, batch=16),
        precisions=["int8"],
        folder=folder,
        host=None,
        quick=True,
        quiet=True,
        start=time.monotonic(),
    )


def look(work: Workshop, spec: ModelSpec) -> None:
    """A step that is cheap: how bright the photos are, which this process alone has."""
    pixels = load_images(work.dataset.photos, input_of(spec)).pixels
    (work.folder / f"{spec.name}.run").mkdir(exist_ok=True)
    (work.folder / f"{spec.name}.run" / "seen").write_text(f"{work.dataset.fingerprint} {int(pixels.sum())}")


def look_once_killed(work: Workshop, spec: ModelSpec) -> None:
    """The same, by a worker that is killed the first time."""
    marker = Path(work.data) / f"{spec.name}.killed"
    if spec == SPECS[1] and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    look(work, spec)


def always_killed(work: Workshop, spec: ModelSpec) -> None:
    """No worker survives it."""
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(work: Workshop, spec: ModelSpec) -> None:
    """A step that finds the world wrong."""
    raise DataError("the photos are green, expected red")


def sleep_long(work: Workshop, spec: ModelSpec) -> None:
    """The first cell is done at once, the others are not."""
    time.sleep(0 if spec == SPECS[0] else 600)
    look(work, spec)


def seen(folder: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in folder.rglob("seen")}


def test_cells_are_those_of_the_local_engine_with_a_worker_killed(engine: Engine, photos: Path, tmp_path: Path) -> None:
    here, there = workshop(photos, tmp_path / "here"), workshop(photos, tmp_path / "there")
    there.data = str(tmp_path)
    assert list(LocalEngine().run(look, here, SPECS)) == SPECS
    assert set(engine.run(look_once_killed, there, SPECS)) == set(SPECS)
    assert (tmp_path / f"{SPECS[1].name}.killed").exists()
    assert len(seen(here.folder)) == len(SPECS)
    assert seen(here.folder) == seen(there.folder)


def test_what_goes_wrong_is_one_sentence(engine: Engine, photos: Path, tmp_path: Path) -> None:
    work = workshop(photos, tmp_path / "work")
    with pytest.raises(DataError, match="the photos are green, expected red"):
        list(engine.run(refuse, work, SPECS[:1]))
    with pytest.raises(EngineError, match=r"a worker was lost and could not be replaced .*: see Ray's logs"):
        list(engine.run(always_killed, work, SPECS[:1]))
    with pytest.raises(EngineError, match="no machine of the cluster has 999 CPUs and 0 GPUs"):
        make_engine("ray", cpus=999)
    with pytest.raises(EngineError, match=r"a worker has edgesdk .*, expected 0\.0: install that on every machine"):
        check_version("0.0")
    with pytest.raises(ValueError, match="a cell needs 0 CPUs"):
        make_engine("ray", cpus=0)
    with pytest.raises(ValueError, match="engine is 'slurm', expected one of local, ray"):
        make_engine("slurm")  # type: ignore[arg-type]


def test_either_engine_goes_on_after_an_interruption(engine: Engine, photos: Path, tmp_path: Path) -> None:
    work = workshop(photos, tmp_path / "work")
    cells = engine.run(sleep_long, work, SPECS)
    assert next(cells) == SPECS[0]
    start = time.monotonic()
    cells.close()  # type: ignore[attr-defined]  # as Ctrl-C in the loop over it does
    assert list(seen(work.folder)) == [f"{SPECS[0].name}.run"]
    assert set(engine.run(look, work, SPECS[1:3])) == set(SPECS[1:3])  # the workers are free again
    assert time.monotonic() - start < 60
    assert list(LocalEngine().run(look, work, SPECS[3:])) == SPECS[3:]
    assert len(set(seen(work.folder).values())) == 1 and len(seen(work.folder)) == 4


def test_what_was_cancelled_gives_its_cpus_back(engine: Engine, photos: Path, tmp_path: Path) -> None:
    """Also a cell that is handed to a worker in that very moment, as often the next one is when one is done."""
    work = workshop(photos, tmp_path / "work")
    for _ in range(5):
        cells = engine.run(sleep_long, work, SPECS)
        assert next(cells) == SPECS[0]
        cells.close()  # type: ignore[attr-defined]
        end = time.monotonic() + 30
        while (free := ray.available_resources().get("CPU", 0)) < 2 * CPUS and time.monotonic() < end:
            time.sleep(0.05)
        assert free == 2 * CPUS


def test_a_grid_is_chosen_from_alike(
    cluster: None, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With as many threads, a cell learned on Ray is that of this process to the last bit."""
    command = ["choose", str(photos), "--archs", "convnet", "--widths", "0.1", "--resolutions", "32", "--all"]
    command += ["--precisions", "int8", "--epochs", "4", "--batch", "16", "--quick", "--work", str(tmp_path / "there")]
    command += ["--engine", "ray", "--cpus", str(CPUS), "-o", str(tmp_path / "best.tflite"), "--json"]
    assert cli.main(command) == 0
    chosen = json.loads(capsys.readouterr().out)
    here, (spec, *_) = workshop(photos, tmp_path / "here"), SPECS
    for step in (Workshop.prepare, Workshop.convert):
        assert list(LocalEngine().run(step, here, [spec])) == [spec]
    ((_, path),) = here.convert(spec).items()
    assert (tmp_path / "best.tflite").read_bytes() == path.read_bytes()
    assert [item["val_top1"] for item in chosen["candidates"]] == [here.val_top1(spec)]


def test_ctrl_c_is_one_sentence_and_the_local_engine_goes_on(cluster: None, photos: Path, tmp_path: Path) -> None:
    """SIGINT to all that runs in the terminal, once a cell is there, whose learning goes on from where it was."""
    work = tmp_path / "work"
    command = ["choose", str(photos), "--archs", "convnet", "--widths", "0.1,0.2,0.3", "--resolutions", "32"]
    command += ["--precisions", "int8", "--epochs", "4", "--batch", "16", "--quick", "--work", str(work)]
    command += ["-o", str(tmp_path / "best.tflite"), "--quiet"]
    app = subprocess.Popen(
        [sys.executable, "-m", "edgesdk.cli", *command, "--engine", "ray", "--cpus", str(2 * CPUS)],
        env={**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (done := list(work.glob("*.run/paused.keras"))) and app.poll() is None:
        time.sleep(0.05)
    os.killpg(app.pid, signal.SIGINT)
    said, errors = app.communicate(timeout=60)
    assert errors == "edgesdk: stopped: the same command continues where it stopped\n"
    assert (app.returncode, said) == (130, "")
    assert not (tmp_path / "best.tflite").exists()
    learned = {path.with_name("history.csv"): path.with_name("history.csv").read_text() for path in done}
    assert cli.main(command) == 0
    assert (tmp_path / "best.tflite").is_file()
    assert len(list(work.glob("*.run/history.csv"))) == 3
    assert all(path.read_text().startswith(rows) for path, rows in learned.items())


def test_a_folder_of_weights_travels(engine: Engine, photos: Path, tmp_path: Path) -> None:
    """Each cell is given the one file that it starts from."""
    from edgesdk_train.models import build_model

    spec = ModelSpec(arch="mobilenet_v1", width=0.25, res=32, classes=3)
    (tmp_path / "shelf").mkdir()
    for width in (0.25, 0.5):
        model = build_model(ModelSpec(arch="mobilenet_v1", width=width, res=32, classes=7))
        model.save_weights(tmp_path / "shelf" / f"{width:g}.h5")
    runs = []
    for name, used in (("here", LocalEngine()), ("there", engine)):
        work = workshop(photos, tmp_path / name)
        work.weights = str(tmp_path / "shelf")
        assert list(used.run(Workshop.prepare, work, [spec])) == [spec]
        folder = work.folder / f"{spec.name}.run"
        runs.append((read_run(folder).source, losses(folder)))
    assert runs[0][0].weights.startswith("0.25.h5 sha256:")
    assert runs[0] == runs[1]


def losses(folder: Path) -> list[list[float]]:
    rows = (folder / "history.csv").read_text().splitlines()[1:]
    return [[float(value) for value in row.split(",")[2:]] for row in rows]


def learned(shards: Path, folder: Path, team: RayTeam | None) -> Run:
    plain = Methods(augment="none")
    return verbs.train(shards, arch="lenet", res=32, epochs=EPOCHS, batch=16, methods=plain, team=team, out=folder)


def stopped_and_resumed(shards: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same through the command line, with Ctrl-C once an epoch has come back."""
    command = ["train", str(shards), "--arch", "lenet", "--res", "32", "--epochs", str(EPOCHS), "--batch", "16"]
    command += ["--augment", "none", "--engine", "ray", "--workers", "2", "--cpus", str(CPUS), "-o", str(folder)]
    keep = rayteam._keep  # the one place where this process sees an epoch end

    def stop(*about: Any) -> Any:
        files = keep(*about)
        if "history.csv" in files:
            raise KeyboardInterrupt
        return files

    with monkeypatch.context() as patch:
        patch.setattr(rayteam, "POLL_S", 0.05)
        patch.setattr(rayteam, "_keep", stop)
        assert cli.main(command) == 130
    assert 1 <= len(losses(folder)) < EPOCHS
    assert cli.main(command) == 1  # it holds a run
    assert cli.main([*command, "--resume"]) == 0


def test_two_workers_learn_what_one_process_learns(
    cluster: None, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each from its own shards; one process, given the same batches, has the same losses within a ten-thousandth."""
    from edgesdk_train import batches

    pack(photos, tmp_path / "shards", shard_bytes=60_000)
    two = learned(tmp_path / "shards", tmp_path / "two.run", RayTeam(workers=2, cpus=CPUS))
    stopped_and_resumed(tmp_path / "shards", tmp_path / "again.run", monkeypatch)
    said = capsys.readouterr().err
    assert "edgesdk: stopped: continue with the same command and --resume\n" in said
    assert "holds a run: continue it with --resume, or name another folder" in said
    deal = batches.deal

    def deal_as_two(*about: Any) -> list[Any]:
        both = zip(*(deal(*about[:3], Team(index=index, count=2)) for index in range(2)), strict=True)
        return [(np.concatenate([first[0], second[0]]), first[1]) for first, second in both]

    monkeypatch.setattr(batches, "deal", deal_as_two)
    one = learned(tmp_path / "shards", tmp_path / "one.run", None)
    assert len(losses(tmp_path / "one.run")) == EPOCHS
    for name in ("two.run", "again.run"):
        for alone, together in zip(losses(tmp_path / "one.run"), losses(tmp_path / name), strict=True):
            assert together == pytest.approx(alone, rel=1e-4)
    assert one.top1 == pytest.approx(two.top1, abs=0.05)
    assert (tmp_path / "two.run/model.keras").is_file()
    assert not (tmp_path / "two.run/checkpoint.npz").exists()
    assert read_run(tmp_path / "two.run") == two


def test_a_missing_ray_is_one_sentence(photos: Path) -> None:
    code = (
        "import sys\nsys.modules['ray'] = None\nfrom edgesdk import cli\n"
        f"sys.exit(cli.main(['choose', {str(photos)!r}, '--engine', 'ray']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "edgesdk: --engine ray needs Ray, which is not installed: pip install 'edgesdk[ray]'\n"
