"""The folder in which `choose` works: what was learned, converted and measured there is found again after any kill."""

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk import modelfile
from edgesdk.atomic import write_text
from edgesdk.baseline import read_baseline
from edgesdk.contract import Output
from edgesdk.errors import ConversionError, EdgeSDKError, NothingMeasuredError
from edgesdk.grid.latency import FEATURES, Features
from edgesdk.measurement import Measurement, Refused
from edgesdk.photos.data import Dataset
from edgesdk.preprocess import input_of
from edgesdk.progress import remark
from edgesdk.recipe import Precision, Recipe
from edgesdk.reports.report import Report, write_report
from edgesdk.runfolder import MODEL_FILE, PAUSED_FILE, Learning, Run, read_run
from edgesdk.spec import ModelSpec

if TYPE_CHECKING:
    from edgesdk_convert.evidence import Evidence
    from edgesdk_convert.network import Network

SHORT_SCRATCH = 4  # of the epochs from nothing, the part that the short lesson takes
TOGETHER = 8  # files measured in one call: what a kill may cost
MEASURED = "measured.json"
Cell = tuple[ModelSpec, Precision]


@dataclass(kw_only=True)
class Workshop:
    """What one call of `choose` works with, and the folder it keeps everything in.

    Attributes:
        corners: the networks whose short lesson is measured, too.
        frozen: the network that was frozen last, which serves every precision.
    """

    dataset: Dataset
    data: str
    weights: str
    learning: Learning
    precisions: Sequence[Precision]
    folder: Path
    host: str | None
    quick: bool
    quiet: bool
    start: float
    corners: Sequence[ModelSpec] = ()
    done: float = 0.0
    total: float = 0.0
    frozen: "tuple[ModelSpec, Network] | None" = None

    def weights_of(self, spec: ModelSpec) -> str:
        """What the network starts from; of a folder the file that fits."""
        if not Path(self.weights).is_dir():
            return self.weights
        from edgesdk_train.shelf import pick_weights

        return str(pick_weights(self.weights, spec))

    def weights_file(self, spec: ModelSpec) -> Path | None:
        """The file that the network starts from; None for random weights."""
        if self.weights == "none":
            return None
        from edgesdk_train.weights import find_weights

        return find_weights(self.weights_of(spec), spec)

    def advance(self, cost: float, text: str) -> None:
        """Say what was done and how long the rest takes, by the multiply-adds that are left."""
        self.done += cost
        left = (time.monotonic() - self.start) * (self.total - self.done) / self.done if self.done else 0.0
        remark(f"{text}; about {max(1, round(left / 60))} min left", quiet=self.quiet)

    @property
    def short(self) -> int:
        """The epoch after which the less promising stop: before the first with weights, else after a quarter."""
        return 0 if self.weights != "none" else max(1, (self.learning.epochs or 12) // SHORT_SCRATCH)

    @property
    def full(self) -> Learning:
        """The lesson of those that go on."""
        if self.learning.transfer == "head":
            return replace(self.learning, epochs=None)
        return replace(self.learning, transfer="scratch" if self.weights == "none" else "finetune")

    @property
    def longer(self) -> bool:
        """Whether the full lesson is more than the short one."""
        return self.full.transfer != "head"

    def files_of(self, spec: ModelSpec) -> list[str]:
        """The names of a network's files in the folder: its run and what was converted."""
        made = [self._file(spec, p, draft=draft) for p in self.precisions for draft in (True, False)]
        files = (*made, *self._run(spec).rglob("*"))
        return sorted(
            file.relative_to(self.folder).as_posix()
            for file in files
            if file.is_file() and not file.name.startswith(".")
        )

    def prepare(self, spec: ModelSpec) -> None:
        """The short lesson, what one inference is made of, and of a corner the files to measure."""
        self.learn(spec, full=False)
        self.features(spec)
        if spec in self.corners:
            self.draft(spec)

    def learn(self, spec: ModelSpec, *, full: bool) -> Run:
        """The short lesson, or all that follows it, too; what was learned before is gone on from."""
        from edgesdk_train.learn import learn

        return learn(
            self.dataset,
            spec,
            input_of(spec, "crop"),
            data=self.data,
            weights=self.weights_of(spec),
            learning=self.full,
            folder=self._run(spec),
            until=None if full or not self.longer else self.short,
            resume=True,
            quiet=True,
        )

    def val_top1(self, spec: ModelSpec) -> float:
        """Of the validation photos after the short lesson, in the epoch that was kept."""
        with (self._run(spec) / "history.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["stage"] == "head" or int(row["epoch"]) <= self.short]
        return float(min(rows, key=lambda row: float(row["val_calibrated"]))["val_top1"])

    def features(self, spec: ModelSpec) -> Features:
        """What one inference is made of, `FEATURES` and its `macs`, read from the float file once."""
        path = self._run(spec) / "features.json"
        try:
            kept = json.loads(path.read_bytes())
            if set(kept) == {*FEATURES, "macs"}:
                return {name: float(value) for name, value in kept.items()}
        except (OSError, ValueError, TypeError):
            pass
        from edgesdk_convert.inspect import read_graph

        graph = read_graph(self._network(spec).float_file)
        depthwise = sum(op.macs for op in graph.ops if op.name == "DEPTHWISE_CONV_2D")
        found: Features = {
            "convolution": graph.macs - depthwise,
            "depthwise": depthwise,
            "weights": sum(op.weights for op in graph.ops),
            "operations": len(graph.ops),
            "macs": graph.macs,
        }
        write_text(path, json.dumps(found))
        return found

    def draft(self, spec: ModelSpec) -> dict[Cell, Path]:
        """Files of the short lesson, which are good for their milliseconds only."""
        from edgesdk_convert.evidence import Evidence

        paths = {p: self._file(spec, p, draft=True) for p in self.precisions}
        missing = [p for p, path in paths.items() if not self._whole(path)]
        if missing:
            network, run = self._network(spec), read_run(self._run(spec))
            for p in missing:
                self._write(network, run, replace(recipe_of(p), repairs=()), Evidence(), paths[p])
        return {(spec, p): path for p, path in paths.items() if path.is_file()}

    def convert(self, spec: ModelSpec) -> dict[Cell, Path]:
        """Learn in full, freeze once, convert to every precision; what lies there already is kept."""
        from edgesdk_convert.evidence import gather_evidence

        self.frozen = None
        self.learn(spec, full=True)
        paths = {p: self._file(spec, p, draft=False) for p in self.precisions}
        missing = [p for p, path in paths.items() if not self._whole(path)]
        if missing:
            folder = self._run(spec)
            network, run = self._network(spec), read_run(folder)
            evidence = gather_evidence(self.dataset, run.input, run.learning, folder, quiet=True)
            for p in missing:
                self._write(network, run, recipe_of(p), evidence, paths[p])
        return {(spec, p): path for p, path in paths.items() if path.is_file()}

    def measure(self, paths: Sequence[Path], *, quick: bool) -> dict[Path, Measurement]:
        """The measurement of each file here or on the host; what was measured before is found again."""
        from edgesdk import verbs

        kept = self.folder / f"{'quick' if quick else 'full'}_{self.host or 'here'}_{MEASURED}"
        known = {row.sha256: row for row in read_baseline(kept)} if kept.is_file() else {}
        sums = {path: modelfile.read(path).sha256 for path in paths}
        missing = [path for path in paths if sums[path] not in known]
        for index in range(0, len(missing), TOGETHER):
            part = missing[index : index + TOGETHER]
            remark(f"measuring {index + len(part)} of {len(missing)} files", quiet=self.quiet)
            rows: Sequence[Measurement | Refused]
            try:
                if self.host is None:
                    rows = verbs.bench(part, backends=["litert"], threads=[1], quick=quick)
                else:
                    rows = verbs.bench_on(part, self.host, backends=["litert"], threads=[1], quick=quick)
            except NothingMeasuredError as error:  # of this part; others were, or will be
                rows = error.rows
            for row in rows:
                if isinstance(row, Measurement):
                    known[row.sha256] = row
                else:
                    remark(f"left out {Path(row.path).name}: {row.reason}", quiet=self.quiet)
            if known:
                write_report(kept, Report(rows=list(known.values())))
        return {path: known[digest] for path, digest in sums.items() if digest in known}

    def _file(self, spec: ModelSpec, precision: Precision, *, draft: bool) -> Path:
        return self.folder / f"{spec.name}_{precision}{'.draft' * draft}.tflite"

    def _run(self, spec: ModelSpec) -> Path:
        return self.folder / f"{spec.name}.run"

    def _network(self, spec: ModelSpec) -> "Network":
        """What was learned so far."""
        if self.frozen is None or self.frozen[0] != spec:
            from edgesdk_convert.load import load_network
            from edgesdk_convert.network import from_keras

            path = self._run(spec) / MODEL_FILE
            model = load_network(path if path.is_file() else path.with_name(PAUSED_FILE))
            self.frozen = spec, from_keras(model, input_of(spec, "crop"))
        return self.frozen[1]

    def _write(self, network: "Network", run: Run, recipe: Recipe, evidence: "Evidence", path: Path) -> None:
        from edgesdk_convert.convert import convert_model

        try:
            convert_model(
                network,
                spec=run.spec,
                image_input=run.input,
                output=Output(kind="probabilities", labels=run.classes),
                source=run.source,
                recipe=recipe,
                evidence=evidence,
                out=path,
                quiet=True,
            )
        except ConversionError as error:
            remark(f"left out {path.name}: {error}", quiet=self.quiet)

    def _whole(self, path: Path) -> bool:
        """Whether a file is there, whole, and learned on these photos."""
        try:
            contract = modelfile.read(path).contract if path.is_file() else None
        except EdgeSDKError:
            contract = None
        if contract is not None and contract.source.fingerprint == self.dataset.fingerprint:
            return True
        path.unlink(missing_ok=True)
        return False


def recipe_of(precision: Precision) -> Recipe:
    """Plain conversion to a precision; ValueError if there is none of that name."""
    return Recipe(precision=precision, io="uint8" if precision == "int8" else "float32")
