"""Half the multiply-adds: channels chosen by `edgesdk_train.shrink` against the same network made narrower everywhere.

    python benchmarks/shrink.py [--shared DIR] [--work DIR] [--seeds 0,1,2]      about an hour and a half on 2 cores

MobileNet V1 0.75-160, fine-tuned, is shrunk to half; beside it the width of about as many multiply-adds, whose channels
come from the same file of width 0.75 and learn by the same default recipe. All choices were made on the validation
photos; the table counts the test photos. Writes benchmarks/results/<board>/shrink.md and .json.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from results import save

from edgesdk import modelfile, verbs
from edgesdk.modelfile import ModelFile
from edgesdk.progress import remark
from edgesdk.reports.report import split_rows

SHARED = Path(__file__).parents[2] / "shared" / "data"
WEIGHTS = "models/keras/mobilenet_v1_0.75_224.h5"
DATA = ("datasets/flowers5", "datasets/cats_dogs")
FRACTION, UNIFORM_WIDTH = 0.5, 0.53
NETWORKS = ("width 0.75", f"width 0.75, shrunk to {FRACTION:g}", f"width {UNIFORM_WIDTH:g}")
HEAD = ("learned", "MobileNet V1 at 160", "M multiply-adds", "top-1 float .tflite", "top-1 int8 file", "kB", "ms p50")


def make(data: Path, weights: Path, seed: int, work: Path) -> list[ModelFile]:
    """The three int8 files of one data set and seed, in the order of `NETWORKS`; what lies in `work` is reused."""
    base, uniform = (work / f"{name}_{data.name}_{seed}.run" for name in ("base", "uniform"))
    for folder, width in ((base, 0.75), (uniform, UNIFORM_WIDTH)):
        remark(f"{folder.name}: learning", quiet=False)
        verbs.train(data, width=width, res=160, weights=str(weights), seed=seed, resume=True, out=folder, quiet=False)
    files = [folder.with_suffix(".tflite") for folder in (base, uniform)]
    for folder, file in zip((base, uniform), files, strict=True):
        if not file.exists():
            verbs.convert(folder, out=file)
    shrunk = work / f"shrunk_{data.name}_{seed}.tflite"
    if not shrunk.exists():
        remark(f"{shrunk.name}: shrinking", quiet=False)
        verbs.convert(base, shrink=FRACTION, out=shrunk, quiet=False)
    return [modelfile.read(path) for path in (files[0], shrunk, files[1])]


def spread(values: list[float]) -> str:
    """Mean and range in percent."""
    percent = [100 * value for value in values]
    return f"{statistics.mean(percent):.1f} % ({min(percent):.1f} to {max(percent):.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--shared", type=Path, default=SHARED)
    parser.add_argument("--work", type=Path, default=None, help="keep what is learned here, and go on from it")
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    lines, facts = [HEAD, ("---",) * len(HEAD)], []
    with tempfile.TemporaryDirectory() as name:
        work = options.work or Path(name)
        for data in [options.shared / data for data in DATA if (options.shared / data).is_dir()]:
            made = [make(data, options.shared / WEIGHTS, seed, work) for seed in seeds]
            # Five rounds through the three files of one seed: a slow minute of the machine meets all of them.
            paths = [file.path for file in made[0]]
            rounds = [
                split_rows(verbs.bench(paths, backends=["litert"], threads=[1], quiet=False))[0] for _ in range(5)
            ]
            for index, network in enumerate(NETWORKS):
                measured = [files[index].required_contract().measured for files in made]
                proved = [item.accuracy for item in measured if item.accuracy is not None]
                milliseconds = statistics.median(measurements[index].invoke_ms.p50 for measurements in rounds)
                fact = {
                    "data": data.name,
                    "network": network,
                    "seeds": seeds,
                    "macs": [item.macs for item in measured],
                    "float": [item.float_tflite for item in proved],
                    "int8": [item.final for item in proved],
                    "n": proved[0].n,
                    "size_bytes": made[0][index].path.stat().st_size,
                    "invoke_ms_p50": milliseconds,
                }
                facts.append(fact)
                lines.append(
                    (
                        data.name,
                        network,
                        f"{statistics.mean(fact['macs']) / 1e6:.0f}",
                        spread(fact["float"]),
                        spread(fact["int8"]),
                        f"{fact['size_bytes'] / 1000:.0f}",
                        f"{milliseconds:.2f}",
                    )
                )
            board, litert = rounds[0][0].board, rounds[0][0].versions["litert"]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    note = f"Means (and ranges) of seeds {options.seeds}; int8, LiteRT {litert}, 1 thread, {board}"
    save("shrink.md", f"{table}\n\n{note}")
    save("shrink.json", json.dumps(facts, indent=1))
    print(table)


if __name__ == "__main__":
    main()
