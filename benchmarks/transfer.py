"""The four cases of transfer learning, each measured, against the one that `--transfer auto` takes.

python benchmarks/transfer.py --shared DIR [--work DIR] [--only NAME,..] [--keep-scratch] [--seeds N]

MobileNet V1 0.25-128 from Keras' published weights, edgesdk's defaults, on whole sets (of CIFAR-10 a part) and on ten
photos a class of the same. Means of `--seeds`, from nothing one: that is the slowest and never near. A row that is in
--work already is not measured again; with `--keep-scratch` learning from nothing keeps the earlier table's figure.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from results import earlier_facts, save_table

from edgesdk.atomic import make_folder, write_text
from edgesdk.photos.data import Dataset, draw_evenly, load_images, read_dataset, split_dataset
from edgesdk.preprocess import input_of
from edgesdk.progress import remark
from edgesdk.quiet import import_tensorflow
from edgesdk.runfolder import Learning, Transfer
from edgesdk.spec import make_spec

CASES = tuple(case for case in get_args(Transfer) if case != "auto")
WEIGHTS = "models/keras/mobilenet_v1_0.25_224_no_top.h5"
FEW = 10
WITHIN = 1.0  # points
SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class Photos:
    """A data set: at most so many training and test photos a class, and whether a mirrored one shows the same."""

    train: int = 10_000
    test: int = 10_000
    flip: bool = True


SETS = {
    "flowers5": Photos(),
    "cats_dogs": Photos(),
    "apple_leaf": Photos(),
    "traffic_signs": Photos(flip=False),
    "cifar10": Photos(train=200, test=60),
}
HEAD = ("data", "training photos a class", "test photos", "seeds", *CASES, "auto took", "points below the best")


def measure(name: str, shared: Path, per_class: int, work: Path, seeds: int, keep_scratch: bool) -> dict[str, Any]:
    """The facts of one row."""
    import_tensorflow()
    from edgesdk_train.cases import choose_case
    from edgesdk_train.learn import build_network, learn

    photos = SETS[name]
    dataset = _part(split_dataset(read_dataset(shared / "datasets" / name)), per_class, photos.test)
    spec = make_spec("mobilenet_v1", 0.25, 128, len(dataset.classes))
    image_input, weights = input_of(spec), str(shared / WEIGHTS)
    train = load_images([photo for photo in dataset.photos if photo.split == "train"], image_input)
    choice = choose_case(build_network(spec, weights).model, train, image_input, classes=spec.classes)
    facts: dict[str, Any] = {
        "data": name,
        "per_class": len(train.labels) / spec.classes,
        "seeds": seeds,
        "auto": choice.transfer,
        "auto_cut": choice.cut,
        "depths": {depth.layer: depth.separability for depth in choice.depths},
        "top1": {},
        "seconds": {},
    }
    before = earlier_facts("transfer").get(_key(facts))
    for case in CASES:
        if case == "scratch" and keep_scratch and before is not None:
            facts["top1"][case], facts["seconds"][case] = before["top1"][case], before["seconds"][case]
            continue
        runs = [
            learn(
                dataset,
                spec,
                image_input,
                data=name,
                weights="none" if case == "scratch" else weights,
                learning=Learning(transfer=case, flip=photos.flip, seed=seed),
                folder=work / f"{name}_{per_class}_{case}_{seed}.run",
                resume=True,
            )
            for seed in range(1 if case == "scratch" else seeds)
        ]
        facts["top1"][case] = statistics.mean(run.top1 or 0.0 for run in runs)
        facts["seconds"][case], facts["n"] = statistics.mean(run.seconds for run in runs), runs[0].top1_n
        facts["cut"] = runs[0].learning.cut or facts.get("cut", "")
        remark(f"{name}, {facts['per_class']:.0f} a class, {case}: {[run.top1 for run in runs]}", quiet=False)
    return facts


def _part(dataset: Dataset, per_class: int, test: int) -> Dataset:
    """At most so many photos a class to learn from, a quarter of that to choose the epoch by, and to judge on."""
    classes, wanted = len(dataset.classes), {"train": per_class, "val": max(2, per_class // 4), "test": test}
    kept = [
        photo
        for split, n in wanted.items()
        for photo in draw_evenly([photo for photo in dataset.photos if photo.split == split], n * classes)
    ]
    return replace(dataset, photos=tuple(sorted(kept, key=lambda photo: str(photo.path))))


def _key(facts: dict[str, Any]) -> str:
    return f"{facts['data']} {facts['per_class']:.0f}"


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The table; of sets that were not measured the rows stay as they were."""
    known = earlier_facts("transfer") | {_key(facts): facts for facts in rows}
    order = {name: place for place, name in enumerate(SETS)}
    ordered = sorted(known.items(), key=lambda item: (item[1]["per_class"] <= FEW, order[item[1]["data"]]))
    lines, within = [], 0
    for _, facts in ordered:
        top1 = {case: 100 * facts["top1"][case] for case in CASES}
        behind = max(top1.values()) - top1[facts["auto"]]
        within += behind <= WITHIN
        shown = [f"{value:.1f} %" for value in top1.values()]
        shown[CASES.index("slice")] += f" ({facts['cut']})"
        lines.append(
            (
                facts["data"],
                f"{facts['per_class']:.0f}",
                str(facts["n"]),
                str(facts["seeds"]),
                *shown,
                facts["auto"],
                f"{behind:.1f}",
            )
        )
    note = (
        "MobileNet V1 0.25-128, weights of Keras, top-1 of test photos, mean of so many seeds (scratch: one); auto "
        f"within {WITHIN:g} point of the best in {within} of {len(lines)} rows"
    )
    save_table("transfer", HEAD, lines, note, dict(ordered))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=None, help="keep what is learned here, and go on from it")
    parser.add_argument("--only", default=",".join(SETS), help="the data sets")
    parser.add_argument("--keep-scratch", action="store_true", help="from nothing: the earlier table's figure")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = make_folder(options.work or Path(folder))
        rows = []
        for whole in (True, False):
            for name in options.only.split(","):
                per_class = SETS[name].train if whole else FEW
                kept = work / f"{name}_{per_class}_{options.seeds}.json"
                if not kept.is_file():
                    facts = measure(name, options.shared, per_class, work, options.seeds, options.keep_scratch)
                    write_text(kept, json.dumps(facts))
                rows.append(json.loads(kept.read_text()))
                show(rows)


if __name__ == "__main__":
    main()
