"""Measurements as a table, Markdown, CSV, JSON or one self-contained HTML page."""

import csv
import io
import json
import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edgesdk.atomic import check_writable, write_text
from edgesdk.choice import name_runtime
from edgesdk.errors import MissingPackageError
from edgesdk.measurement import Measurement, OnAndroid, Refused
from edgesdk.stats import wilson_interval
from edgesdk.tables import columns

COLUMNS = (
    "model",
    "backend",
    "threads",
    "invoke p50",
    "p90",
    "p99 ms",
    "frame p90 ms",
    "load ms",
    "first ms",
    "RSS MB",
    "CPUs",
    "taken",
    "golden ±",
    "top-1",
)
HISTOGRAM_BINS = 40


Rows = Sequence[Measurement | Refused]


def table_rows(measurements: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """One row of text a measurement, under `COLUMNS`."""
    return [
        (
            m.model,
            _ran(m),
            str(m.threads),
            f"{m.invoke_ms.p50:.3f}",
            f"{m.invoke_ms.p90:.3f}",
            f"{m.invoke_ms.p99:.3f}",
            f"{m.frame_ms.p90:.3f}",
            f"{m.load_ms:.1f}",
            f"{m.first_invoke_ms:.2f}",
            f"{m.peak_rss_bytes / 1e6:.0f}",
            f"{m.cpu_over_wall:.2f}",
            f"{m.delegated_nodes}/{m.nodes}",
            "" if m.max_difference is None else f"{m.max_difference:.2g}",
            "" if m.top1 is None else f"{100 * m.top1:.1f} % of {m.top1_n}",
        )
        for m in measurements
    ]


def as_text(rows: Rows) -> str:
    """A table for the terminal; what was refused, chosen and is doubtful stands under it."""
    measured, refused = split_rows(rows)
    lines = columns([COLUMNS, *table_rows(measured)])
    lines += [f"refused: {_named(row)}: {row.reason}" for row in refused]
    lines += [f"auto: {m.model}: {m.choice}" for m in measured if m.choice]
    lines += [f"note: {warning} ({'; '.join(which)})" for warning, which in _grouped_warnings(measured).items()]
    return "\n".join(lines)


def as_android_text(rows: Sequence[OnAndroid | Refused]) -> str:
    """A table of what was measured on Android devices, and what was refused."""
    head = (
        "model",
        "backend",
        "threads",
        "mean ms",
        "std",
        "min",
        "max",
        "first",
        "load ms",
        "peak MB",
        "taken",
        "device",
    )
    lines: list[tuple[str, ...]] = [head]
    for row in rows:
        if isinstance(row, OnAndroid):
            times = (row.mean_ms, row.std_ms, row.min_ms, row.max_ms, row.first_invoke_ms, row.load_ms)
            peak = "" if row.peak_memory_bytes is None else f"{row.peak_memory_bytes / 1e6:.0f}"
            taken = "" if row.nodes is None else f"{row.delegated_nodes}/{row.nodes}"
            shown = (f"{time:.3f}" for time in times)
            lines.append((row.model, _ran(row), str(row.threads), *shown, peak, taken, row.device))
    text = columns(lines)
    text += [f"refused: {_named(row)}: {row.reason}" for row in rows if isinstance(row, Refused)]
    text += ["note: benchmark_model feeds random values: these figures do not prove that the outputs are right"]
    return "\n".join(text)


def as_markdown(rows: Rows) -> str:
    """A Markdown table, and a list of what was refused."""
    measured, refused = split_rows(rows)
    cells = [COLUMNS, tuple("---" for _ in COLUMNS), *table_rows(measured)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    lines += ["", *(f"- refused: {_named(row)}: {row.reason}" for row in refused)] if refused else []
    return "\n".join(lines) + "\n"


def as_csv(rows: Rows) -> str:
    """The same columns as comma-separated values, and why a row was refused in one more."""
    measured, refused = split_rows(rows)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((*COLUMNS, "refused"))
    writer.writerows((*row, "") for row in table_rows(measured))
    for row in refused:
        head = (row.model, _ran(row), str(row.threads or "auto"))
        writer.writerow((*head, *[""] * (len(COLUMNS) - len(head)), row.reason))
    return text.getvalue()


def as_json(rows: Sequence[Measurement | OnAndroid | Refused], *, samples: bool = False) -> str:
    """A list of objects, those that were refused with a `reason`; `samples` keeps every raw time."""
    items = [asdict(row) for row in rows]
    if not samples:
        for item in items:
            item.pop("samples_ms", None)
    return json.dumps(items, indent=1, ensure_ascii=False)


def split_rows(rows: Rows) -> tuple[list[Measurement], list[Refused]]:
    """(what was measured, what was refused), each in its order."""
    return [row for row in rows if isinstance(row, Measurement)], [row for row in rows if isinstance(row, Refused)]


def write_report(path: Path | str, rows: Rows, command: Sequence[str] = ()) -> Path:
    """Write a report in the format of the file's ending: .html, .md, .csv or .json.

    Args:
        command: what was typed, so that a reader can do it again.

    Raises:
        ValueError: if the ending is another one.
        MissingPackageError: if jinja2 is missing for HTML.
        WriteError: if the file cannot be written.
    """
    path = Path(path)
    writers = {".md": as_markdown, ".csv": as_csv}
    if path.suffix in writers:
        return write_text(path, writers[path.suffix](rows))
    if path.suffix == ".json":
        return write_text(path, as_json(rows, samples=True))
    check_report(path)
    return write_text(path, _html(rows, command))


def check_report(path: Path) -> None:
    """Refuse what `write_report` would refuse, before anything is measured; raises as it does."""
    if path.suffix not in (".html", ".md", ".csv", ".json"):
        raise ValueError(f"the report {path} ends in {path.suffix!r}, expected .html, .md, .csv or .json")
    if path.suffix == ".html" and find_spec("jinja2") is None:
        raise MissingPackageError("jinja2", "report", "an HTML report")
    check_writable(path)


def _html(rows: Rows, command: Sequence[str]) -> str:
    import jinja2

    measurements, refused = split_rows(rows)

    template = (files("edgesdk") / "templates" / "bench.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(
        measurements=measurements,
        columns=COLUMNS,
        rows=table_rows(measurements),
        scale=_scale(measurements),
        histograms=[_histogram(m) for m in measurements],
        refused=[(_named(row), row.reason) for row in refused],
        choices=[(m.model, str(m.choice)) for m in measurements if m.choice],
        warnings=_grouped_warnings(measurements),
        intervals=[_interval(m) for m in measurements],
        fastest=min(measurements, key=lambda m: m.invoke_ms.p90),
        boards=sorted({m.board for m in measurements}),
        made=time.strftime("%Y-%m-%d %H:%M"),
        command=shlex.join(command),
        raw=as_json(rows, samples=True),
    )


def _grouped_warnings(measurements: Sequence[Measurement]) -> dict[str, list[str]]:
    """Each warning once, with the measurements that it is about."""
    grouped: dict[str, list[str]] = {}
    for m in measurements:
        for warning in m.warnings:
            grouped.setdefault(warning, []).append(_named(m))
    return {text: ["all"] if len(which) == len(measurements) > 1 else which for text, which in grouped.items()}


def _ran(row: Measurement | OnAndroid | Refused) -> str:
    return f"{row.backend} + {row.delegate}" if row.delegate else row.backend


def _named(row: Measurement | Refused) -> str:
    return f"{row.model}, {name_runtime(row.backend, row.threads or 1, row.delegate)}"


def _interval(m: Measurement) -> tuple[float, float] | None:
    return None if m.top1 is None else wilson_interval(round(m.top1 * m.top1_n), m.top1_n)


def _scale(measurements: Sequence[Measurement]) -> dict[str, Any]:
    """The common time axis: its end and four round ticks, in milliseconds."""
    longest = max(m.frame_ms.p90 for m in measurements)
    step = 10 ** np.floor(np.log10(longest / 2)) if longest > 0 else 1.0
    step = next(step * k for k in (1, 2, 2.5, 5, 10) if longest / (step * k) <= 6)
    ticks = np.arange(0, longest + step, step)
    return {"end": float(ticks[-1]), "ticks": [float(tick) for tick in ticks]}


def _histogram(m: Measurement) -> dict[str, Any]:
    """Counts of the invoke times up to 3 times the median, relative to the tallest; the rest as a number."""
    end = 3 * m.invoke_ms.p50
    low = 0.8 * min(m.samples_ms, default=0.0)
    counts, edges = np.histogram([s for s in m.samples_ms if s <= end], bins=HISTOGRAM_BINS, range=(low, end))
    return {
        "heights": (counts / max(1, counts.max())).tolist(),
        "low": float(edges[0]),
        "end": float(edges[-1]),
        "beyond": sum(s > end for s in m.samples_ms),
    }
