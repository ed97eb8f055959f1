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
from edgesdk.errors import MissingPackageError
from edgesdk.measurement import Measurement
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
    "top-1",
)
HISTOGRAM_BINS = 40


def table_rows(measurements: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """One row of text a measurement, under `COLUMNS`."""
    return [
        (
            m.model,
            m.backend,
            str(m.threads),
            f"{m.invoke_ms.p50:.3f}",
            f"{m.invoke_ms.p90:.3f}",
            f"{m.invoke_ms.p99:.3f}",
            f"{m.frame_ms.p90:.3f}",
            f"{m.load_ms:.1f}",
            f"{m.first_invoke_ms:.2f}",
            f"{m.peak_rss_bytes / 1e6:.0f}",
            "" if m.top1 is None else f"{100 * m.top1:.1f} % of {m.top1_n}",
        )
        for m in measurements
    ]


def as_text(measurements: Sequence[Measurement]) -> str:
    """A table for the terminal, with the warnings under it."""
    lines = columns([COLUMNS, *table_rows(measurements)])
    lines += [f"note: {warning} ({'; '.join(which)})" for warning, which in _grouped_warnings(measurements).items()]
    return "\n".join(lines)


def as_markdown(measurements: Sequence[Measurement]) -> str:
    """A Markdown table."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *table_rows(measurements)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def as_csv(measurements: Sequence[Measurement]) -> str:
    """The same columns as comma-separated values."""
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *table_rows(measurements)])
    return text.getvalue()


def as_json(measurements: Sequence[Measurement], *, samples: bool = False) -> str:
    """A list of objects; `samples` keeps every raw time."""
    items = [asdict(m) for m in measurements]
    if not samples:
        for item in items:
            del item["samples_ms"]
    return json.dumps(items, indent=1, ensure_ascii=False)


def write_report(path: Path | str, measurements: Sequence[Measurement], command: Sequence[str] = ()) -> Path:
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
        return write_text(path, writers[path.suffix](measurements))
    if path.suffix == ".json":
        return write_text(path, as_json(measurements, samples=True))
    check_report(path)
    return write_text(path, _html(measurements, command))


def check_report(path: Path) -> None:
    """Refuse what `write_report` would refuse, before anything is measured; raises as it does."""
    if path.suffix not in (".html", ".md", ".csv", ".json"):
        raise ValueError(f"the report {path} ends in {path.suffix!r}, expected .html, .md, .csv or .json")
    if path.suffix == ".html" and find_spec("jinja2") is None:
        raise MissingPackageError("jinja2", "report", "an HTML report")
    check_writable(path)


def _html(measurements: Sequence[Measurement], command: Sequence[str]) -> str:
    import jinja2

    template = (files("edgesdk") / "templates" / "bench.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(template).render(
        measurements=measurements,
        columns=COLUMNS,
        rows=table_rows(measurements),
        scale=_scale(measurements),
        histograms=[_histogram(m) for m in measurements],
        warnings=_grouped_warnings(measurements),
        intervals=[_interval(m) for m in measurements],
        fastest=min(measurements, key=lambda m: m.invoke_ms.p90),
        boards=sorted({m.board for m in measurements}),
        made=time.strftime("%Y-%m-%d %H:%M"),
        command=shlex.join(command),
        raw=as_json(measurements, samples=True),
    )


def _grouped_warnings(measurements: Sequence[Measurement]) -> dict[str, list[str]]:
    """Each warning once, with the measurements that it is about."""
    grouped: dict[str, list[str]] = {}
    for m in measurements:
        for warning in m.warnings:
            grouped.setdefault(warning, []).append(f"{m.model}, {m.backend}, {m.threads} thread{'s' * (m.threads > 1)}")
    return {text: ["all"] if len(which) == len(measurements) > 1 else which for text, which in grouped.items()}


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
