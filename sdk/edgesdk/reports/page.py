"""One self-contained HTML page of measurements: nothing is fetched, everything can be taken along."""

import json
import re
import shlex
import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from edgesdk.measurement import Measurement, OnAndroid
from edgesdk.reports import drawing, report
from edgesdk.reports.drawing import Point
from edgesdk.reports.report import Report

COLORS = ("var(--s7)", "var(--s4)", "var(--s2)", "var(--invoke)", "var(--s3)")  # of `drawing.PARTS`
MIXED = 6
MOST_CLASSES = 40
FEW = 12  # measurements whose details are shown at once
SERIES = ("float32", "float16", "dynamic", "int8", "int16x8")


def build_page(made: Report) -> str:
    """The page as HTML text."""
    import jinja2
    from markupsafe import Markup as safe  # noqa: N813 - jinja2's own

    folder = files("edgesdk.reports") / "templates"
    page, css, js = ((folder / f"report.{end}").read_text(encoding="utf-8") for end in ("html", "css", "js"))
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    measured = list(made.measured)
    context = _words(made) | {
        name: safe(value) if isinstance(value, str) else value for name, value in _pictures(made, safe).items()
    }
    return environment.from_string(page).render(
        **context,
        css=safe(css),
        js=safe(js),
        raw=safe(_in_script(report.as_json(made.rows, samples=True))),
        csv=safe(_in_script(json.dumps(report.as_csv(made.rows)))),
        measurements=measured,
        few=" open" if len(measured) <= FEW else "",
        rows=report.table_rows(measured),
        columns=report.COLUMNS,
        parts=drawing.PARTS,
        colors=COLORS,
        made=time.strftime("%Y-%m-%d %H:%M"),
        command=shlex.join(made.command),
    )


def points_of(rows: Sequence[Measurement]) -> tuple[Point, ...]:
    """A point for each measurement with an accuracy; the front is drawn through those that nothing beats."""
    judged = [row for row in rows if row.judged is not None]
    found = []
    for row in judged:
        value = row.judged
        assert value is not None
        cost, right = row.invoke_ms.p90, value.top1
        beaten = any(
            other.judged.top1 >= right
            and other.invoke_ms.p90 <= cost
            and (other.judged.top1, -other.invoke_ms.p90) != (right, -cost)
            for other in judged
            if other.judged is not None
        )
        found.append(
            Point(
                label=_short(row),
                tip=f"{report.named(row)}: {100 * right:.1f} % of {value.n} photos ({100 * value.ci95[0]:.1f} to "
                f"{100 * value.ci95[1]:.1f} %), invoke p90 {cost:.3f} ms, {row.size_bytes / 1000:.0f} kB",
                ms=cost,
                top1=right,
                low=value.ci95[0],
                high=value.ci95[1],
                series=SERIES.index(row.precision) if row.precision in SERIES else 0,
                front=not beaten,
            )
        )
    return tuple(found)


def _pictures(made: Report, safe: Any) -> dict[str, Any]:
    measured = list(made.measured)
    points = made.points or points_of(measured)
    names = [report.named(row) for row in measured]
    ages = [(f"{name}, from memory", row.age) for name, row in zip(names, measured, strict=True) if row.age is not None]
    ages += [(f"{name}, paced", row.paced.age) for name, row in zip(names, measured, strict=True) if row.paced]
    histograms = []
    for name, row in zip(names, measured, strict=True):
        if row.samples_ms:
            svg, beyond = drawing.histogram(row)
            facts = {"n": row.invoke_ms.n, "kept": len(row.samples_ms), "longest": row.invoke_ms.max, "beyond": beyond}
            histograms.append({"name": name, "svg": safe(svg), **facts})
    sustained = []
    for name, row in zip(names, measured, strict=True):
        if row.sustained:
            told = row.sustained[-1].conditions
            blind = [
                what for what, value in (("temperature", told.temperature_c), ("clock", told.clock_mhz)) if not value
            ]
            missing = f"; this machine does not tell its {' and '.join(blind)}" if blind else ""
            svg = safe(drawing.sustained(row.sustained))
            sustained.append({"name": name, "svg": svg, "board": row.board, "missing": missing})
    shares, note = _shares(made)
    return {
        "pareto": drawing.pareto(points) if len(points) > 1 else "",
        "guessed": any(point.guessed for point in points),
        "series": [(index, SERIES[index]) for index in sorted({point.series for point in points})],
        "times": drawing.times(measured, names) if measured else "",
        "ages": drawing.ages(ages) if ages else "",
        "histograms": histograms,
        "sustained": sustained,
        "shares": drawing.shares(shares) if shares else "",
        "shares_note": note,
    }


def _shares(made: Report) -> tuple[Sequence[tuple[str, Sequence[tuple[str, float, str]]]], str]:
    """What each type of operation takes: of the time where a tool told it, else of the multiply-adds."""
    timed = [
        (row.model, [(op.name, op.share, f"{op.name}: {op.count} operations, {op.mean_ms:.3f} ms") for op in row.ops])
        for row in made.rows
        if isinstance(row, OnAndroid) and row.ops
    ]
    if timed:
        return timed, "Share of the time of one run, by benchmark_model's profile."
    note = (
        "Share of the multiply-adds, read from the file. Times of single operations are not shown: the Python "
        "interpreters of LiteRT and tflite-runtime tell none; benchmark_model --enable_op_profiling=true does, and "
        "`edgesdk bench --import LOG` shows them here."
    )
    return made.shares, note


def _words(made: Report) -> dict[str, Any]:
    measured, refused = list(made.measured), list(made.refused)
    judged = [
        {"name": report.named(row), "value": row.judged, "gate": report.gate(row, measured)}
        for row in measured
        if row.judged is not None
    ]
    best = max((row for row in measured if row.judged is not None), key=lambda row: row.top1 or 0.0, default=None)
    value = None if best is None else best.judged
    classes = [] if value is None else sorted(value.per_class.items(), key=lambda item: item[1])
    boards = sorted({row.board for row in measured if row.board})
    boards += sorted({row.device for row in made.rows if isinstance(row, OnAndroid)})
    return {
        "title": made.title or ("What this model costs" if len(measured) == 1 else "What these models cost"),
        "summary": made.summary or _summary(measured),
        "boards": boards,
        "warnings": report.grouped_warnings(measured),
        "candidates": made.candidates,
        "picked": made.picked,
        "comparisons": made.comparisons,
        "places": report.place_rows(measured),
        "ratios": report.ratio_lines(measured),
        "paced": sorted({row.paced.source for row in measured if row.paced}),
        "judged": judged,
        "mixed": [] if value is None else value.confusions[:MIXED],
        "mixed_name": "" if best is None else report.named(best),
        "classes": classes[:MOST_CLASSES],
        "foreign": report.android_rows(made.rows) if any(isinstance(row, OnAndroid) for row in made.rows) else (),
        "refused": [(report.named(row), row.reason) for row in refused],
        "choices": [(row.model, str(row.choice)) for row in measured if row.choice],
    }


def _summary(measured: Sequence[Measurement]) -> str:
    if not measured:
        return "Nothing was measured on this machine; what was refused, and why, stands below."
    fastest = min(measured, key=lambda row: row.invoke_ms.p90)
    text = (
        f"{report.named(fastest)} answers in {fastest.invoke_ms.p90:.3g} ms (90 % of its runs are at least this fast), "
        f"{fastest.frame_ms.p90:.3g} ms from a 640×480 frame to the label"
    )
    if fastest.top1 is not None:
        text += f", and is right on {100 * fastest.top1:.1f} % of {fastest.top1_n} photos"
    return text + "."


def _short(row: Measurement) -> str:
    """The model's name without its architecture, and its threads where there are several."""
    words = re.sub(r"_(\d+)( \w+)$", r"-\1\2", row.model.removeprefix("mobilenet_")).replace("_", " ")
    return f"{words} ×{row.threads}" if row.threads > 1 else words


def _in_script(text: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return text.replace("<", "\\u003c")
