"""Damaged and hostile input to everything of ours that reads bytes: no crash, no hang, nothing understood wrongly.

    python benchmarks/fuzz.py                              mutants, then ten minutes of guided fuzzing
    python benchmarks/fuzz.py model.tflite --mutants 500 --minutes 0 --only tflite --keep found/

Mutants: whole inputs, damaged by a seeded generator, each read in a process that may take 2 GiB more memory and 10 s.
Guided: Atheris (libFuzzer), which sees what of our code an input reaches, on every way in for an equal part of the
time (`pip install 'edgesdk[fuzz]'`). Writes benchmarks/results/<board>/fuzz.md and .json; exit code 1 if anything but
a refusal or a right reading was found. `fuzztargets.py` lists the ways in.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzztargets import Target, make_targets
from results import save

from edgesdk import verbs
from edgesdk.errors import EdgeSDKError
from edgesdk.progress import remark
from edgesdk_device.board import board_name

TIMEOUT_S = 10.0
MEMORY_BYTES = 2 * 2**30
REFUSED, SAME, OTHER = "refused", "the same", "another value"
FINE = (REFUSED, SAME, OTHER)
EDGES = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
TOKENS = (
    *("0", "-1", "1e999", "-0.0", "NaN", "Infinity", "9" * 30, "9" * 5000, "null", "true", '""', "[]", "{}", "[[]]"),
    *("1e-320", '"' + "x" * 70000 + '"', "[" * 5000, '{"a":' * 3000, '"\\u0000"', '"\\ud800"', "'", '"', "\0", ","),
    *("../../etc/passwd", '"../.."', "0x10", "1979-05-27T07:32:00Z", "\xff", "\n", "="),
)
VALUES = (
    *(
        0,
        -1,
        1,
        2,
        255,
        4096,
        2**20,
        2**31,
        2**63,
        10**30,
        10**300,
        -(2**70),
        1e-320,
        1e308,
        -0.0,
        0.5,
        1.5,
        True,
        None,
    ),
    *("", "x", "x" * 70000, "\0", "\ud800", "../../x", "AAAA", "AAA", "=", "rgb", [], [[]], {}, [1] * 5000, ["a"] * 3),
)
WORD = re.compile(rb"-?[\w.+]+|\"[^\"\n]*\"|[\[\]{}:,=]")


def damage(data: bytes, chance: random.Random, text: bool) -> bytes:
    """Between one and four changes."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = _change(data, chance, text)
    return data


def _change(data: bytes, chance: random.Random, text: bool) -> bytes:
    size = len(data)
    if not size:
        return bytes([chance.randrange(256)])
    if data[:1] in b"{[" and chance.random() < 0.8:
        with contextlib.suppress(ValueError, RecursionError):
            return _change_json(json.loads(data), chance)
    at, length = chance.randrange(size), min(size, int(2 ** chance.uniform(0, 12)))
    if text and chance.random() < 0.6 and (words := list(WORD.finditer(data))):
        one, other = chance.choice(words), chance.choice(words)
        new = chance.choice((chance.choice(TOKENS).encode("latin-1"), other[0], b""))
        return data[: one.start()] + new + data[one.end() :]
    match chance.randrange(8):
        case 0:
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:at] + bytes([chance.choice((0, 1, 127, 128, 255))]) + data[at + 1 :]
        case 2:
            return data[:at]
        case 3:
            return data[:at] + data[at + length :]
        case 4:
            return data[: at + length] + data[at:]
        case 5:
            return data[:at] + chance.randbytes(length) + data[at + length * chance.randrange(2) :]
        case 6:
            width = chance.choice((2, 4, 8))
            number = (chance.choice(EDGES) % 256**width).to_bytes(width, chance.choice(("little", "big")))
            return data[:at] + number + data[at + width :]
        case _:
            to = chance.randrange(size)
            return data[:to] + data[at : at + length] + data[to + length :]


def _change_json(tree: Any, chance: random.Random) -> bytes:
    """Another value somewhere in it, or something missing: what is valid JSON gets further."""
    places: list[tuple[Any, Any]] = []
    ahead = [tree]
    while ahead:
        item = ahead.pop()
        for key, value in item.items() if isinstance(item, dict) else enumerate(item):
            places.append((item, key))
            ahead += [value] if isinstance(value, dict | list) else []
    if places:
        item, key = chance.choice(places)
        if chance.random() < 0.1:
            del item[key]
        elif chance.random() < 0.2:
            other, place = chance.choice(places)
            item[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict) else None))
        else:
            item[key] = chance.choice(VALUES)
    return json.dumps(tree).encode()


def mutant(target: Target, index: int) -> bytes:
    """The same for the same number, on every machine."""
    chance = random.Random(f"{target.name} {index}")
    return damage(chance.choice(target.seeds), chance, target.text)


def judge(target: Target, data: bytes, whole: set[object]) -> str:
    """What became of an input: one of `FINE`, or the defect."""
    try:
        found = target.read(data)
    except EdgeSDKError as error:
        said = str(error)
        return REFUSED if "\n" not in said and len(said) < 2000 else f"no sentence: {said[:100]!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
    if found in whole or (isinstance(found, frozenset) and any(found <= one for one in whole)):  # type: ignore[operator]
        return SAME
    return "understood wrongly" if target.sealed else OTHER


def _too_slow(*_: Any) -> None:
    raise TimeoutError(f"over {TIMEOUT_S:g} s")


def _judge_all(target: Target, indices: Sequence[int], answers: Connection) -> None:
    """In a process of its own: (number, verdict) for each mutant, and what memory the worst took."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # libjpeg and OpenCV tell every damage there
    whole = {_hashable(target.read(seed)) for seed in target.seeds}
    shown = Target(
        name=target.name, read=lambda data: _hashable(target.read(data)), seeds=target.seeds, sealed=target.sealed
    )
    signal.signal(signal.SIGALRM, _too_slow)
    for index in indices:
        signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
        verdict = judge(shown, mutant(target, index), whole)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.send((index, verdict, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def _hashable(value: object) -> object:
    return value if isinstance(value, frozenset) else repr(value)


def try_mutants(target: Target, count: int, start: int = 0) -> tuple[Counter[str], dict[int, str], int]:
    """(verdict -> how many, number -> defect, bytes of memory that the worst mutant added)."""
    fork = multiprocessing.get_context("fork")
    verdicts: Counter[str] = Counter()
    defects: dict[int, str] = {}
    left, least, most = list(range(start, start + count)), 0, 0
    while left:
        ours, theirs = fork.Pipe(duplex=False)
        process = fork.Process(target=_judge_all, args=(target, left, theirs))
        process.start()
        theirs.close()
        index, end = left[0], "hung"
        try:
            while left and ours.poll(TIMEOUT_S + 20):
                index, verdict, rss = ours.recv()
                left.remove(index)
                least, most = least or rss, max(most, rss)
                kind = verdict if verdict in FINE else "defect"
                verdicts[kind] += 1
                if kind == "defect":
                    defects[index] = verdict
        except EOFError:
            end = ""
        if left:  # the one after the last answer took the process down
            process.kill() if end else None
            process.join()
            defects[left[0]] = end or f"died ({process.exitcode})"
            verdicts["defect"] += 1
            del left[0]
        process.join()
    return verdicts, defects, most - least


def guide(model: Path, name: str, seconds: float, keep: Path) -> dict[str, Any]:
    """Let Atheris look for what breaks one way in; what it found lies in `keep`."""
    crashes = keep / "guided"
    crashes.mkdir(parents=True, exist_ok=True)
    prefix = f"{crashes}/{re.sub(r'[^a-z0-9]+', '_', name.lower())}_"
    command = [sys.executable, __file__, str(model), "--guided", name, f"-max_total_time={int(seconds)}"]
    command += [f"-timeout={int(TIMEOUT_S)}", "-rss_limit_mb=4096", f"-artifact_prefix={prefix}", "-max_len=200000"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds + 300)
    runs = re.findall(r"(?m)^#(\d+)\s.*?cov: (\d+)", done.stderr)
    found = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    defect = "" if done.returncode == 0 else " ".join(done.stderr[-1500:].split())
    why = re.search(r"=== Uncaught Python exception: ===\s*(.*)", done.stderr)
    covered = max((int(cov) for _, cov in runs), default=0)
    count = int(found[1]) if found else max((int(run) for run, _ in runs), default=0)
    return {"runs": count, "covered": covered, "defect": (why[1] if why else defect)[:400] if defect else ""}


def _fuzz(model: Path, name: str, arguments: list[str]) -> None:
    """In a process of its own: hand over to libFuzzer, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=["edgesdk", "edgesdk_device", "edgesdk_convert", "fuzztargets"]):
        for loaded in [one for one in sys.modules if one.startswith(("edgesdk", "fuzztargets"))]:
            del sys.modules[loaded]  # imported again, seen by Atheris
        import fuzztargets

        from edgesdk.errors import EdgeSDKError as Refusal
    folder = Path(tempfile.mkdtemp(prefix="edgesdk_fuzz_"))
    target = fuzztargets.make_targets(model, folder)[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    for index, seed in enumerate(target.seeds):
        (corpus / str(index)).write_bytes(seed)

    def one(data: bytes) -> None:
        with contextlib.suppress(Refusal):
            target.read(data)

    atheris.Setup([sys.argv[0], *arguments, "-print_final_stats=1", str(corpus)], one)
    atheris.Fuzz()


def as_markdown(rows: list[dict[str, Any]], minutes: float) -> str:
    """One line a way in, and their sum."""
    head = ["what is read", "mutants", "refused", "read as the whole one", "read as another", "defects", "MB at most"]
    guided = any("guided" in row for row in rows)
    head += ["guided runs", "places reached", "defects"] if guided else []
    lines = [head, ["---"] * len(head)]
    for row in rows:
        mutants, found = row["mutants"], row.get("guided")
        cells = [row["name"], str(sum(mutants.values())), *(str(mutants.get(kind, 0)) for kind in (*FINE, "defect"))]
        cells.append(f"{row['memory_bytes'] / 1e6:.0f}")
        if found:
            cells += [f"{found['runs']:,}", f"{found['covered']:,}", "1" if found["defect"] else "0"]
        lines.append(cells)
    note = f"{sum(sum(row['mutants'].values()) for row in rows):,} mutants"
    if guided:
        note += f" and {sum(row['guided']['runs'] for row in rows):,} guided runs in {minutes:g} minutes"
    bad = sum(row["mutants"].get("defect", 0) + bool(row.get("guided", {}).get("defect")) for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{note}: {bad} defects; {board_name()}."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, help="a converted .tflite (default: one is made of digits)")
    parser.add_argument("--mutants", type=int, default=250, help="of each way in")
    parser.add_argument("--start", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--minutes", type=float, default=10, help="of guided fuzzing, of all ways in together")
    parser.add_argument("--only", action="append", help="one way in; may be said again")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_found"), help="folder for what shows a defect")
    parser.add_argument("--dry", action="store_true", help="print the result, write nothing")
    parser.add_argument("--guided", metavar="NAME", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.guided:
        _fuzz(options.model, options.guided, rest)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = (
            options.model
            or verbs.convert(data="digits", arch="lenet", epochs=1, out=folder / "digits.tflite", quiet=True).path
        )
        targets = make_targets(model, folder)
        chosen = [target for target in targets.values() if options.only is None or target.name in options.only]
        rows: list[dict[str, Any]] = []
        for target in chosen:
            start = time.monotonic()
            verdicts, defects, memory = try_mutants(target, options.mutants, options.start)
            for index, defect in defects.items():
                remark(f"{target.name} {index}: {defect}", quiet=False)
                options.keep.mkdir(exist_ok=True)
                (options.keep / f"{target.name.replace(' ', '_')}_{index}").write_bytes(mutant(target, index))
            rows.append({"name": target.name, "mutants": dict(verdicts), "memory_bytes": memory})
            remark(f"{target.name}: {dict(verdicts)} in {time.monotonic() - start:.1f} s", quiet=False)
        for row in rows if options.minutes else ():
            row["guided"] = guide(model, row["name"], 60 * options.minutes / len(rows), options.keep)
            remark(f"{row['name']}: {row['guided']}", quiet=False)
    text = as_markdown(rows, options.minutes)
    print(text)
    if not options.dry:
        save("fuzz.md", text)
        save("fuzz.json", json.dumps({"board": board_name(), "rows": rows}, indent=1))
    return 1 if any(row["mutants"].get("defect") or row.get("guided", {}).get("defect") for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
