"""The verb `choose`: a grid of widths, resolutions and precisions, learned and measured no further than needed.

Each network's photos are decoded, its features computed and its head learned once; by that and by predicted
milliseconds the less promising stop. The others are learned in full, frozen once, converted to every precision
and measured in turns. Everything lies in one folder, so that the same call goes on after any kill.
"""

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgesdk import modelfile
from edgesdk.atomic import check_writable, make_folder, write_bytes, write_text
from edgesdk.grid.candidates import Candidate, Limits, corners, find_front, how_many, keep_promising, pick
from edgesdk.grid.engine import Engine, LocalEngine
from edgesdk.grid.latency import Features, LatencyModel, fit_latency
from edgesdk.grid.workshop import Cell, Workshop, recipe_of
from edgesdk.measurement import Measurement
from edgesdk.photos.data import read_dataset, split_dataset
from edgesdk.progress import remark
from edgesdk.recipe import Precision
from edgesdk.runfolder import Learning, Transfer
from edgesdk.spec import ModelSpec, make_spec

UNKNOWN_ERROR = 0.5  # of predicted milliseconds where too few files were measured to say


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What `choose` returns.

    Attributes:
        path: of the file to ship. pick, why: the candidate it is, and the reason.
        candidates: all of them, in the order of the grid. front: the measured ones that nothing beats.
        errors: precision -> typical relative error of predicted milliseconds, None where too few were measured.
        rows: the measurements.
        seconds: of this call.
    """

    path: Path
    pick: Candidate
    why: str
    candidates: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    errors: dict[str, float | None]
    rows: tuple[Measurement, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The keys that scripts rely on: `path`, `pick`, `why`, `candidates`, `front`, `errors`, `seconds`."""
        values = asdict(self) | {"path": str(self.path)}
        values.pop("rows")
        for item in (values["pick"], *values["candidates"], *values["front"]):
            item["name"] = f"{item['spec']['arch']}_{item['spec']['width']:g}_{item['spec']['res']} {item['precision']}"
        return values


def choose(
    data: Path | str,
    *,
    archs: Sequence[str] = ("mobilenet_v1",),
    widths: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
    resolutions: Sequence[int] = (128, 160, 192, 224),
    precisions: Sequence[Precision] = ("int8", "float32"),
    weights: str = "none",
    transfer: Transfer = "auto",
    epochs: int | None = None,
    batch: int = 32,
    seed: int = 0,
    flip: bool = True,
    limits: Limits | None = None,
    host: str | None = None,
    folder: Path | str | None = None,
    out: Path | str | None = None,
    everything: bool = False,
    quick: bool = False,
    engine: Engine | None = None,
    quiet: bool = True,
) -> Chosen:
    """Learn, convert and measure a grid of candidates and take the best that keeps the limits.

    Args:
        data: labelled photos, as of `train`.
        weights: as of `train`, or a folder of .h5 files: each width starts from its own, or is cut from the next wider.
        transfer, epochs, batch, seed, flip: of the full lesson; see `Learning`. Transfer is "auto", or "scratch"
            without weights and "head" or "finetune" with them.
        limits: None for none.
        host: USER@HOST to measure on; None for this machine.
        folder: where everything is kept and found again; `choose_<data>` in the working folder if None.
        out: the file's name; `<model>_<data>_<precision>.tflite` if None.
        everything: stop no candidate.
        engine: where networks are learned and converted; this process if None. Measured is on `host` or here.

    Raises:
        ChoiceError: if no candidate keeps the limits: says the nearest.
        EdgeSDKError, ValueError: one sentence each.
    """
    start = time.monotonic()
    limits = limits or Limits()
    for precision in precisions:
        recipe_of(precision)
    allowed = ("auto", "scratch") if weights == "none" else ("auto", "head", "finetune")
    if transfer not in allowed:
        raise ValueError(f"transfer is {transfer!r} with weights {weights}, expected one of {', '.join(allowed)}")
    if out is not None:
        check_writable(out)
    dataset = split_dataset(read_dataset(data))
    specs = [
        replace(make_spec(arch, width, res), classes=len(dataset.classes))
        for arch, width, res in itertools.product(archs, widths, resolutions)
    ]
    if not specs or not precisions:
        raise ValueError("the grid is empty: name widths, resolutions and precisions")
    work = Workshop(
        dataset=dataset,
        data=str(data),
        weights=weights,
        learning=Learning(transfer=transfer, epochs=epochs, batch=batch, seed=seed, flip=flip),
        precisions=precisions,
        folder=make_folder(folder or f"choose_{dataset.name}"),
        host=host,
        quick=quick,
        quiet=quiet,
        start=start,
        corners=corners(specs),
    )
    found, errors, rows = _measure_grid(work, specs, limits, engine or LocalEngine(), everything=everything)
    taken, why = pick(found, limits)
    path = Path(out) if out is not None else Path(f"{taken.spec.name}_{dataset.name}_{taken.precision}.tflite")
    write_bytes(path, Path(taken.path).read_bytes())
    chosen = Chosen(
        path=path,
        pick=taken,
        why=why,
        candidates=tuple(found),
        front=tuple(find_front(found)),
        errors=errors,
        rows=tuple(rows),
        seconds=round(time.monotonic() - start, 1),
    )
    write_text(work.folder / "choose.json", json.dumps(chosen.to_json(), indent=1))
    return chosen


def _measure_grid(
    work: Workshop, specs: Sequence[ModelSpec], limits: Limits, engine: Engine, *, everything: bool
) -> tuple[list[Candidate], dict[str, float | None], list[Measurement]]:
    size = {spec: spec.width**2 * spec.res**2 for spec in specs}  # multiply-adds, up to a factor
    passes = 3.0 * (work.learning.epochs or 15) if work.longer else 1.0
    most = len(specs) if everything else how_many(len(specs), limits)
    work.total = sum(size.values()) * (1 + passes * most / len(specs))
    features: dict[ModelSpec, Features] = {}
    for index, spec in enumerate(engine.run(Workshop.prepare, work, specs)):
        features[spec] = work.features(spec)
        top1 = work.val_top1(spec)
        work.advance(size[spec], f"{index + 1} of {len(specs)} short lessons: {spec.name} {100 * top1:.1f} %")
    drafts: dict[Cell, Path] = {}
    for spec in work.corners:
        drafts |= work.draft(spec)
    drafted = _by_cell(drafts, work.measure(list(drafts.values()), quick=True))
    models = _fit(work.precisions, drafted, features)
    cells = [
        (spec, min((m.predict(features[spec]) for m in models.values()), default=size[spec]), work.val_top1(spec))
        for spec in specs
    ]
    error = max((model.error or UNKNOWN_ERROR for model in models.values()), default=UNKNOWN_ERROR)
    promising = specs if everything else keep_promising(cells, most, limits.budget_ms, error)
    remark(f"going on with {len(promising)} of {len(specs)} networks", quiet=work.quiet)
    work.total = work.done + passes * sum(size[spec] for spec in promising)
    files: dict[Cell, Path] = {}
    for spec in engine.run(Workshop.convert, work, promising):
        files |= work.convert(spec)
        work.advance(passes * size[spec], f"{spec.name} is learned and converted")
    measured = _by_cell(files, work.measure(list(files.values()), quick=work.quick))
    models = _fit(work.precisions, drafted | measured, features)
    found = []
    for cell in itertools.product(specs, work.precisions):
        spec, precision = cell
        stopped = Candidate(
            spec=spec,
            precision=precision,
            stage="stopped",
            macs=int(features[spec]["macs"]),
            val_top1=work.val_top1(spec),
            ms=models[precision].predict(features[spec]) if precision in models else None,
        )
        found.append(_measured(stopped, files[cell], measured[cell]) if cell in measured else stopped)
    return found, {p: model.error for p, model in models.items()}, list(measured.values())


def _by_cell(files: dict[Cell, Path], rows: dict[Path, Measurement]) -> dict[Cell, Measurement]:
    return {cell: rows[path] for cell, path in files.items() if path in rows}


def _fit(
    precisions: Sequence[Precision], measured: dict[Cell, Measurement], features: dict[ModelSpec, Features]
) -> dict[Precision, LatencyModel]:
    models = {}
    for precision in precisions:
        points = [(features[spec], row.invoke_ms.p90) for (spec, p), row in measured.items() if p == precision]
        if points:
            models[precision] = fit_latency(points)
    return models


def _measured(stopped: Candidate, path: Path, row: Measurement) -> Candidate:
    proved = modelfile.read(path).required_contract().measured.accuracy
    assert proved is not None
    return replace(
        stopped,
        stage="measured",
        top1=proved.final,
        low=proved.ci95[0],
        high=proved.ci95[1],
        n=proved.n,
        ms=row.invoke_ms.p90,
        frame_ms=row.frame_ms.p90,
        size_bytes=row.size_bytes,
        ram_bytes=row.rss_delta_bytes,
        path=str(path),
    )
