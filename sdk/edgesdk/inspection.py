"""What `inspect` shows of one file, and of the difference between two."""

import gzip
from dataclasses import asdict
from typing import Any

from edgesdk.contract import Attempt, Ran
from edgesdk.preprocess import ImageInput
from edgesdk.reports.tables import columns
from edgesdk.verbs import Inspected

ATTEMPTS_HEAD = ("tried", "top-1", "agreement", "signal to noise", "gate")


def as_json(found: Inspected) -> dict[str, Any]:
    """The keys that scripts rely on.

    path, sha256, size_bytes, macs, sparsity, ops, float_islands, too_new, coverage and contract; where there is one,
    input, labels and runtimes.
    """
    graph, contract = found.graph, found.file.contract
    facts: dict[str, Any] = {
        "path": str(found.file.path),
        "sha256": found.file.sha256,
        "size_bytes": found.file.path.stat().st_size,
        "macs": graph.macs,
        "sparsity": graph.sparsity,
        "ops": [asdict(op) for op in graph.ops],
        "float_islands": list(graph.float_islands),
        "too_new": list(found.too_new),
        "coverage": [asdict(guess) for guess in found.coverage],
        "contract": None,
    }
    if contract is not None:
        described = asdict(contract)
        facts |= {"input": described["input"], "labels": list(contract.output.labels), "contract": described}
        facts["runtimes"] = described["ran"]
    return facts


def as_text(found: Inspected) -> list[str]:
    """Facts, contract, what was tried and the table of operations, line by line."""
    size_kb = found.file.path.stat().st_size / 1000
    lines = [f"{found.file.path}  sha256 {found.file.sha256[:16]}  {size_kb:.0f} kB"]
    lines += [f"  {name}: {text}" for name, text in _facts(found).items()]
    if found.file.contract is None:
        lines.append("  no edgesdk contract: nothing says how to feed it")
    elif len(found.file.contract.attempts) > 1:
        lines += ["", *columns([ATTEMPTS_HEAD, *map(_attempt, found.file.contract.attempts)])]
    return [*lines, "", *columns(found.graph.table)]


def _attempt(attempt: Attempt) -> tuple[str, ...]:
    top1, agreement = ("" if share is None else f"{100 * share:.1f} %" for share in (attempt.top1, attempt.agreement))
    passed = "passed" if attempt.passed else "failed"
    return attempt.step, top1, agreement, f"{attempt.signal_to_noise_db:.1f} dB", passed


def difference(first: Inspected, second: Inspected) -> list[str]:
    """The facts that differ, side by side."""
    one, two = _facts(first), _facts(second)
    rows = [("", str(first.file.path), str(second.file.path))]
    for name in dict.fromkeys([*one, *two]):
        if one.get(name) != two.get(name):
            rows.append((name, one.get(name, "-"), two.get(name, "-")))
    return columns(rows) if len(rows) > 1 else [f"{first.file.path} and {second.file.path} hold the same"]


def _facts(found: Inspected) -> dict[str, str]:
    graph, contract = found.graph, found.file.contract
    facts = {
        "multiply-adds": f"{graph.macs / 1e6:.2f} M",
        "model bytes": f"{len(found.file.content):,}",
        "zeros": f"{100 * graph.sparsity:.1f} %",
        "operations": ", ".join(f"{count} {name}" for name, count in graph.counts.items()),
    }
    if graph.float_islands:
        facts["stays float32"] = ", ".join(graph.float_islands)
    if contract is not None and contract.ran:
        facts["ran in"] = "; ".join(map(_describe_run, contract.ran))
    facts["tflite-runtime 2.14"] = (
        f"no: {'; '.join(found.too_new)}" if found.too_new else "yes: it knows every operation"
    )
    for guess in found.coverage:
        leaves = f", not {', '.join(guess.leaves)}" if guess.leaves else ""
        facts[f"{guess.delegate}, a guess"] = f"takes {guess.takes} of {guess.ops} operations{leaves}"
    if contract is None:
        return facts
    image, labels, proved, source = contract.input, contract.output.labels, contract.measured.accuracy, contract.source
    facts |= {
        "made from": f"{contract.name}, weights {source.weights}, data {source.dataset or 'none'}",
        "input": f"{_describe_input(image)}, (byte - {image.mean:g}) / {image.std:g}",
        "output": contract.output.kind,
        "precision": f"{contract.recipe.precision}, input and output {contract.recipe.io}",
        "gzipped": f"{len(gzip.compress(found.file.path.read_bytes())):,}",
        "trained": "yes" if source.trained else "no: random weights",
    }
    if labels:
        facts["labels"] = f"{len(labels)}: {', '.join(labels[:8])}{', ...' if len(labels) > 8 else ''}"
    if contract.recipe.steps:
        facts["steps"] = "; ".join(contract.recipe.steps)
    if proved is not None:
        facts["top-1"] = f"{100 * proved.final:.1f} % of {proved.n} images, network {100 * proved.float:.1f} %"
        facts["agreement"] = f"{100 * proved.agreement:.1f} %"
    return facts


def _describe_input(image: ImageInput) -> str:
    if image.color == "latent":
        return f"a code, {image.height}x{image.width}x{image.channels}"
    return f"{image.height}x{image.width} {image.color}, {image.resize}"


def _describe_run(ran: Ran) -> str:
    return f"{ran.runtime} {ran.version} (differs by {ran.max_difference or 0:.2g})" if ran.ok else ran.reason
