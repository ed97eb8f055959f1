"""Measurements as a table, Markdown, CSV, JSON or one self-contained HTML page."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk.atomic import check_writable, write_text
from edgesdk.baseline import Comparison
from edgesdk.choice import name_runtime
from edgesdk.errors import MissingPackageError
from edgesdk.measurement import Measurement, OnAndroid, Refused
from edgesdk.reports.tables import columns
from edgesdk.stats import ratio_interval, split_blocks

if TYPE_CHECKING:
    from edgesdk.reports.drawing import Point

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
FLOAT_KEPT = 0.98  # of float's accuracy that int8 must keep to count (MLPerf Mobile, arXiv 2012.02328)
RAW = ("samples_ms", "frame_samples_ms", "blocks", "yardstick_ms")
ENDINGS = (".html", ".md", ".csv", ".json")

Row = Measurement | OnAndroid | Refused
Rows = Sequence[Row]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a report tells.

    Attributes:
        rows: what was measured, imported and refused.
        comparisons: with a baseline.
        shares: (model, (type of operation, share of the multiply-adds, words) each) of each file.
        command: what was typed, so that a reader can do it again.
        title, summary: "" for those of measurements.
        points: of the plot of accuracy over time; () for those of the measurements.
        candidates, picked: rows of a table under a head, and the first cell of the row that was picked.
    """

    rows: Rows
    comparisons: Sequence[Comparison] = ()
    shares: Sequence[tuple[str, Sequence[tuple[str, float, str]]]] = ()
    command: Sequence[str] = ()
    title: str = ""
    summary: str = ""
    points: "Sequence[Point]" = ()
    candidates: Sequence[Sequence[str]] = ()
    picked: str = ""

    @property
    def measured(self) -> Sequence[Measurement]:
        """What was measured."""
        return split_rows(self.rows)[0]

    @property
    def refused(self) -> Sequence[Refused]:
        """What was refused."""
        return split_rows(self.rows)[1]


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
            "" if m.peak_rss_bytes is None else f"{m.peak_rss_bytes / 1e6:.0f}",
            "" if m.cpu_over_wall is None else f"{m.cpu_over_wall:.2f}",
            "" if m.delegated_nodes is None else f"{m.delegated_nodes}/{m.nodes}",
            "" if m.max_difference is None else f"{m.max_difference:.2g}",
            "" if m.top1 is None else f"{100 * m.top1:.1f} % of {m.top1_n}",
        )
        for m in measurements
    ]


def as_text(rows: Rows) -> str:
    """A table for the terminal; what was refused, chosen and is doubtful stands under it."""
    measured, refused = split_rows(rows)
    lines = columns([COLUMNS, *table_rows(measured)]) if measured else []
    if any(isinstance(row, OnAndroid) for row in rows):
        lines += columns(android_rows(rows))
        lines += ["note: benchmark_model feeds random values: these figures do not prove that the outputs are right"]
    if places := place_rows(measured):
        lines += ["", *columns(places), ""]
    lines += [f"in turns: {line}" for line in ratio_lines(measured)]
    lines += [f"accuracy: {named(m)}: {gate(m, measured)[1]}" for m in measured if gate(m, measured)[1]]
    lines += [f"refused: {named(row)}: {row.reason}" for row in refused]
    lines += [f"auto: {m.model}: {m.choice}" for m in measured if m.choice]
    lines += [f"note: {warning} ({'; '.join(which)})" for warning, which in grouped_warnings(measured).items()]
    return "\n".join(lines)


def android_rows(rows: Rows) -> list[tuple[str, ...]]:
    """A head, and a row of text for each measurement of benchmark_model."""
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
    return lines


def ratio_lines(measured: Sequence[Measurement]) -> list[str]:
    """How much faster the fastest of those that took turns is than the others, with 95 % bootstrap intervals."""
    lines = []
    for turns in sorted({(m.place, m.turns) for m in measured}):
        group = [m for m in measured if (m.place, m.turns) == turns and m.blocks]
        if len(group) < 2:
            continue
        best = min(group, key=lambda m: m.invoke_ms.p50)
        base = split_blocks(best.samples_ms, best.blocks)
        for m in group:
            if m is not best:
                ratio, low, high = ratio_interval(split_blocks(m.samples_ms, m.blocks), base, paired=True)
                lines.append(f"{named(m)} takes {ratio:.2f} times ({low:.2f} to {high:.2f}) what {named(best)} takes")
    return lines


def place_rows(measured: Sequence[Measurement]) -> list[tuple[str, ...]]:
    """A head and a row a model, with a column a device: invoke p90 (frame p90); [] where no device has a name."""
    places = list(dict.fromkeys(m.place for m in measured if m.place))
    if not places:
        return []
    cells: dict[tuple[str, str], str] = {}
    for m in measured:
        cells[(f"{m.model}, {_threads(m)}", m.place)] = f"{m.invoke_ms.p90:.3f} ({m.frame_ms.p90:.3f})"
    names = list(dict.fromkeys(name for name, _ in cells))
    return [("ms, p90", *places), *((name, *(cells.get((name, p), "") for p in places)) for name in names)]


def gate(m: Measurement, measured: Sequence[Measurement]) -> tuple[str, str]:
    """("kept", "failed" or "", in words) how much of the float network's accuracy a quantized file keeps.

    Against a float32 file of the same network that was measured on the same photos; else as its contract says.
    """
    if m.judged is None or m.precision == "float32" or not m.top1:
        return "", ""
    name = m.model.rpartition(" ")[0]
    floats = [o.top1 for o in measured if o.precision == "float32" and o.model.rpartition(" ")[0] == name and o.top1]
    whole, source = (floats[0], "the float32 file's") if floats else (m.judged.float_top1, "the float network's")
    if not whole:
        return "", ""
    share = m.top1 / whole
    verdict = "kept" if share >= FLOAT_KEPT else "failed"
    words = f"keeps {100 * share:.1f} % of {source} {100 * whole:.1f} %"
    return verdict, words + ("" if verdict == "kept" else f", below {100 * FLOAT_KEPT:.0f} %")


def as_markdown(rows: Rows) -> str:
    """A Markdown table of each kind of measurement, and a list of what was refused."""
    measured, refused = split_rows(rows)
    lines = _markdown_table([COLUMNS, *table_rows(measured)]) if measured else []
    if any(isinstance(row, OnAndroid) for row in rows):
        lines += [*([""] if lines else []), *_markdown_table(android_rows(rows))]
    if ratios := ratio_lines(measured):
        lines += ["", *(f"- {line}" for line in ratios)]
    lines += ["", *(f"- refused: {named(row)}: {row.reason}" for row in refused)] if refused else []
    return "\n".join(lines) + "\n"


def _markdown_table(cells: Sequence[Sequence[str]]) -> list[str]:
    head, *others = cells
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *others)]


def as_csv(rows: Rows) -> str:
    """The same columns as comma-separated values, and why a row was refused in one more."""
    measured, refused = split_rows(rows)
    head, *android = android_rows(rows)
    more = [name for name in head if name not in COLUMNS] if android else []
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS, *more, "refused"), restval="")
    writer.writeheader()
    writer.writerows(dict(zip(COLUMNS, row, strict=True)) for row in table_rows(measured))
    writer.writerows(dict(zip(head, row, strict=True)) for row in android)
    writer.writerows(
        {"model": row.model, "backend": _ran(row), "threads": row.threads or "auto", "refused": row.reason}
        for row in refused
    )
    return text.getvalue()


def as_json(rows: Rows, *, samples: bool = False) -> str:
    """A list of objects, those that were refused with a `reason`; `samples` keeps the raw times, too, a row a line."""
    items = [asdict(row) for row in rows]
    if samples:
        return "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in items) + "\n]"
    for item in items:
        for name in RAW:
            item.pop(name, None)
    return json.dumps(items, indent=1, ensure_ascii=False)


def split_rows(rows: Rows) -> tuple[list[Measurement], list[Refused]]:
    """(what was measured, what was refused), each in its order."""
    return [row for row in rows if isinstance(row, Measurement)], [row for row in rows if isinstance(row, Refused)]


def write_report(path: Path | str, made: Report) -> Path:
    """Write a report in the format of the file's ending: .html, .md, .csv or .json.

    Raises:
        ValueError: if the ending is another one.
        MissingPackageError: if jinja2 is missing for HTML.
        WriteError: if the file cannot be written.
    """
    path = Path(path)
    check_report(path)
    if path.suffix == ".html":
        from edgesdk.reports.page import build_page

        return write_text(path, build_page(made))
    if path.suffix == ".json":
        return write_text(path, as_json(made.rows, samples=True))
    return write_text(path, as_markdown(made.rows) if path.suffix == ".md" else as_csv(made.rows))


def check_report(path: Path) -> None:
    """Refuse what `write_report` would refuse, before anything is measured; raises as it does."""
    if path.suffix not in ENDINGS:
        raise ValueError(f"the report {path} ends in {path.suffix!r}, expected .html, .md, .csv or .json")
    if path.suffix == ".html" and find_spec("jinja2") is None:
        raise MissingPackageError("jinja2", "report", "an HTML report")
    check_writable(path)


def grouped_warnings(measurements: Sequence[Measurement]) -> dict[str, list[str]]:
    """Each warning once, with the measurements that it is about."""
    grouped: dict[str, list[str]] = {}
    for m in measurements:
        for warning in m.warnings:
            grouped.setdefault(warning, []).append(named(m))
    return {text: ["all"] if len(which) == len(measurements) > 1 else which for text, which in grouped.items()}


def _ran(row: Row) -> str:
    return f"{row.backend} + {row.delegate}" if row.delegate else row.backend


def named(row: Row) -> str:
    """A row in words: its model, what ran it, and where."""
    return f"{row.model}, {_threads(row)}" + (f" on {row.place}" if row.place else "")


def _threads(row: Row) -> str:
    return name_runtime(row.backend, row.threads or 1, row.delegate)
