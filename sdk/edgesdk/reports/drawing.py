"""Pictures of measurements as SVG text, in the colours of the page's style sheet; every axis has its unit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

import numpy as np

from edgesdk.measurement import Age, Measurement, Minute

BINS = 48
PARTS = ("capture", "queue", "prepare", "invoke", "post")
LOG_ABOVE = 8.0  # largest over smallest, beyond which an axis is logarithmic
LINE = 18  # height of a line of text
MOST_LABELS = 16  # of more points only those on the front are named
Scale = Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class Point:
    """A model in the plane of cost and accuracy.

    Attributes:
        label: short, beside the point. tip: all that is known of it.
        ms, top1, low, high: where it is, and the ends of the accuracy's interval, 0 to 1.
        series: of the colour.
        front: whether no other is both faster and better. picked: whether it is the one to take.
        guessed: whether its time is a prediction.
    """

    label: str
    tip: str
    ms: float
    top1: float
    low: float
    high: float
    series: int = 0
    front: bool = False
    picked: bool = False
    guessed: bool = False


@dataclass(kw_only=True)
class Canvas:
    """SVG in the making; lengths are pixels."""

    width: int
    height: int
    parts: list[str] = field(default_factory=list)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid") -> None:
        """A straight line of a class of the style sheet."""
        self.parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def text(self, x: float, y: float, words: str, kind: str = "tick", anchor: str = "start") -> None:
        """Words whose base line begins, ends or has its middle at a place."""
        self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>')

    def rect(self, x: float, y: float, width: float, height: float, kind: str, tip: str = "") -> None:
        """A bar, with what is said of it."""
        title = f"<title>{escape(tip)}</title>" if tip else ""
        self.parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{height:.1f}" '
            f'rx="2">{title}</rect>'
        )

    def path(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """A line through points."""
        self.parts.append(f'<path class="{kind}" d="M{" L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>')

    def dot(self, x: float, y: float, radius: float, kind: str, tip: str) -> None:
        """A point, with what is said of it."""
        self.parts.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{escape(tip)}</title></circle>'
        )

    def svg(self, name: str, kind: str) -> str:
        """The picture; `name` says what it shows to who cannot see it."""
        return (
            f'<svg class="{kind}" viewBox="0 0 {self.width} {self.height}" role="img" aria-label="{escape(name)}">'
            f"{''.join(self.parts)}</svg>"
        )


def both(draw: Callable[[int], Canvas], name: str) -> str:
    """A picture for a desk and one for a phone; the style sheet shows the one that fits."""
    return draw(900).svg(name, "wide") + draw(400).svg(name, "narrow")


def pareto(points: Sequence[Point]) -> str:
    """Accuracy over time, the front as a line; a label stands where it covers no other."""

    def draw(width: int) -> Canvas:
        canvas = Canvas(width=width, height=430)
        left, right, top, bottom = 52, width - 16, 24, 380
        x, ticks = _axis([p.ms for p in points], left + 12, right - 24)
        low, high = min(p.low for p in points), max(p.high for p in points)
        low, high = max(0.0, low - 0.05 * (high - low)), min(1.0, high + 0.05 * (high - low))
        step = _step((high - low) * 100, 6) / 100
        marks = np.arange(math.ceil(low / step), math.floor(high / step + 1e-9) + 1) * step

        def y(value: float) -> float:
            return bottom - (bottom - top) * (value - low) / ((high - low) or 1)

        for mark in marks:
            canvas.line(left, y(mark), right, y(mark))
            canvas.text(left - 6, y(mark) + 4, f"{100 * mark:g} %", anchor="end")
        for tick in ticks:
            canvas.line(x(tick), top, x(tick), bottom)
            canvas.text(x(tick), bottom + LINE, f"{tick:g}", anchor="middle")
        canvas.text((left + right) / 2, bottom + 2 * LINE + 2, "ms of one invoke, p90", "axis", "middle")
        canvas.text(left - 46, top - 10, "top-1", "axis")
        front = sorted((p for p in points if p.front), key=lambda p: p.ms)
        corners = [(x(p.ms), y(p.top1)) for p in front]
        steps = [corner for a, b in pairwise(corners) for corner in (a, (b[0], a[1]))]
        if len(corners) > 1:
            canvas.path([*steps, corners[-1]], "front")
        taken: list[tuple[float, float, float, float]] = [(x(p.ms) - 6, y(p.top1) - 6, 12, 12) for p in points]
        for p in points:
            px, py = x(p.ms), y(p.top1)
            canvas.line(px, y(p.low), px, y(p.high), f"whisker s{p.series}")
            kind = f"dot s{p.series}" + (" picked" if p.picked else "") + (" guessed" if p.guessed else "")
            canvas.dot(px, py, 8 if p.picked else 6, kind, p.tip)
        for p in sorted(points, key=lambda p: (not p.picked, not p.front)):
            if len(points) <= MOST_LABELS or p.front or p.picked:
                _label(canvas, taken, p, x(p.ms), y(p.top1), (left, right, top, bottom))
        return canvas

    return both(draw, "accuracy over milliseconds, a point a model")


def _label(
    canvas: Canvas,
    taken: list[tuple[float, float, float, float]],
    p: Point,
    px: float,
    py: float,
    inside: tuple[float, float, float, float],
) -> None:
    width = 7.2 * len(p.label)
    places = [(px - 8, py - 6, "end"), (px + 9, py + 15, "start"), (px + 10, py + 4, "start"), (px - 10, py + 4, "end")]
    places += [(px, py + sign * far, "middle") for far in (16, 28) for sign in (-1, 1)]
    for lx, ly, anchor in places:
        begin = lx - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
        box = (begin, ly - 11, width, 14)
        fits = inside[0] <= begin and begin + width <= inside[1] + 12 and inside[2] <= box[1] and ly < inside[3]
        if fits and not any(_overlap(box, other) for other in taken):
            taken.append(box)
            canvas.text(lx, ly, p.label, "label" + (" picked" if p.picked else ""), anchor)
            return


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def times(rows: Sequence[Measurement], names: Sequence[str]) -> str:
    """Invoke and frame of each measurement on one axis."""

    def draw(width: int) -> Canvas:
        pitch = 52
        canvas = Canvas(width=width, height=pitch * len(rows) + 44)
        bottom = pitch * len(rows) + 4
        x, ticks = _from_zero(max(row.frame_ms.p90 for row in rows), 4, width - 34)
        _grid(canvas, x, ticks, 0, bottom, "ms")
        for index, (row, name) in enumerate(zip(rows, names, strict=True)):
            y = pitch * index
            told = "; ".join(
                f"{what} p50 {p.p50:.3f}, p90 {p.p90:.3f}, p99 {p.p99:.3f}, max {p.max:.3f} ms of {p.n}"
                for what, p in (("invoke", row.invoke_ms), ("frame", row.frame_ms))
            )
            canvas.text(4, y + 16, f"{name}: {row.invoke_ms.p90:.3g} ms", "label")
            canvas.rect(4, y + 22, x(row.frame_ms.p90) - 4, 22, "frame", f"{name}: {told}")
            canvas.rect(4, y + 26, x(row.invoke_ms.p90) - 4, 14, "invoke", f"{name}: {told}")
            canvas.line(x(row.invoke_ms.p50), y + 23, x(row.invoke_ms.p50), y + 43, "mark")
        return canvas

    return both(draw, "invoke and frame times of each measurement, in milliseconds")


def histogram(row: Measurement) -> tuple[str, int]:
    """(the runs' spread up to 3 times the median, how many lie beyond), from what `frame_ms` and `invoke_ms` hold."""
    end, low = 3 * row.invoke_ms.p50, 0.9 * min(row.samples_ms)
    inside = [value for value in row.samples_ms if value <= end]
    counts, edges = np.histogram(inside, bins=BINS, range=(low, end))
    canvas = Canvas(width=400, height=150)
    tallest = max(1, int(counts.max()))
    for index, count in enumerate(counts):
        tip = f"{count} runs of {edges[index]:.3f} to {edges[index + 1]:.3f} ms"
        canvas.rect(
            6 + index * 388 / BINS, 112 - 96 * count / tallest, 388 / BINS - 1, 96 * count / tallest, "invoke", tip
        )
    canvas.line(6, 112.5, 394, 112.5, "axisline")
    shares = (("p50", row.invoke_ms.p50, 16), ("p90", row.invoke_ms.p90, 32), ("p99", row.invoke_ms.p99, 48))
    places = [(kind, 6 + 388 * (value - low) / (end - low), y) for kind, value, y in shares if value <= end]
    for _, place, _ in places:
        canvas.line(place, 10, place, 112, "mark")
    for kind, place, y in places:  # over the lines: the next one may be near
        beside, anchor = (3, "start") if place < 370 else (-3, "end")
        canvas.text(place + beside, y, kind, kind, anchor)
    for tick in _ticks(low, end, 5):
        canvas.text(6 + 388 * (tick - low) / (end - low), 130, f"{tick:g}", anchor="middle")
    canvas.text(394, 146, "ms", anchor="end")
    return canvas.svg("histogram of the invoke times in milliseconds", "any"), len(row.samples_ms) - len(inside)


def ages(items: Sequence[tuple[str, Age]]) -> str:
    """Where the time from a frame to its label goes, a stacked bar each."""

    def draw(width: int) -> Canvas:
        pitch = 46
        canvas = Canvas(width=width, height=pitch * len(items) + 44)
        longest = max(sum(getattr(age, part) for part in PARTS) for _, age in items)
        x, ticks = _from_zero(longest, 4, width - 34)
        _grid(canvas, x, ticks, 0, pitch * len(items) + 4, "ms")
        for index, (name, age) in enumerate(items):
            canvas.text(4, pitch * index + 16, name, "label")
            done = 0.0
            for part in PARTS:
                took = getattr(age, part)
                tip = f"{name}: {part} {took:.3f} ms (median)"
                canvas.rect(x(done), pitch * index + 22, x(done + took) - x(done), 18, part, tip)
                done += took
        return canvas

    return both(draw, "medians of capture, queue, prepare, invoke and post in milliseconds")


def sustained(minutes: Sequence[Minute]) -> str:
    """p50 and p90 over minutes, and under it, on the same axis, temperature and clock; throttled stretches shaded."""
    tracks: list[tuple[str, list[tuple[str, list[float | None]]]]] = [
        ("ms", [("p90", [m.frame_ms.p90 for m in minutes]), ("p50", [m.frame_ms.p50 for m in minutes])]),
        ("°C", [("temperature", [m.conditions.temperature_c for m in minutes])]),
        ("MHz", [("clock", [m.conditions.clock_mhz for m in minutes])]),
    ]
    tracks = [(unit, lines) for unit, lines in tracks if any(v is not None for _, values in lines for v in values)]

    def draw(width: int) -> Canvas:
        heights = [190, *([90] * (len(tracks) - 1))]
        canvas = Canvas(width=width, height=sum(heights) + 40)
        left, right = 58, width - 20
        x, ticks = _from_zero(minutes[-1].end_s / 60, left, right)
        edges = [0.0, *(m.end_s / 60 for m in minutes)]
        top = 0
        for minute, (begin, end) in zip(minutes, pairwise(edges), strict=True):
            if minute.conditions.throttled:
                canvas.rect(
                    x(begin), 0, x(end) - x(begin), sum(heights), "held", ", ".join(minute.conditions.throttled)
                )
        for (unit, lines), height in zip(tracks, heights, strict=True):
            _track(canvas, unit, lines, x, edges[1:], (left, right, top + 12, top + height - 10))
            top += height
        for tick in ticks:
            canvas.text(x(tick), top + 14, f"{tick:g}", anchor="middle")
        canvas.text((left + right) / 2, top + 32, "minutes at the camera's pace", "axis", "middle")
        return canvas

    return both(draw, "frame to label over minutes, with temperature and clock")


def _track(
    canvas: Canvas,
    unit: str,
    lines: list[tuple[str, list[float | None]]],
    x: Scale,
    ends: Sequence[float],
    box: tuple[float, float, float, float],
) -> None:
    left, right, top, bottom = box
    values = [value for _, line in lines for value in line if value is not None]
    low = 0.0 if unit == "ms" else min(values) - max(1.0, 0.05 * min(values))
    high = max(values) * 1.05 + (unit != "ms")
    for tick in _ticks(low, high, 4 if unit == "ms" else 2):
        y = bottom - (bottom - top) * (tick - low) / (high - low)
        canvas.line(left, y, right, y)
        canvas.text(left - 6, y + 4, f"{tick:g}", anchor="end")
    canvas.text(2, top + 10, unit, "axis")
    for index, (name, line) in enumerate(lines):
        places = [
            (x(end), bottom - (bottom - top) * (value - low) / (high - low), value, end)
            for end, value in zip(ends, line, strict=True)
            if value is not None
        ]
        canvas.path([(px, py) for px, py, _, _ in places], f"curve s{index}")
        for px, py, value, end in places:
            canvas.dot(px, py, 3.5, f"dot s{index}", f"{name} {value:.4g} {unit} at {end:.3g} min")
        canvas.text(places[-1][0], places[-1][1] - 8, name, "label", "end")


def shares(items: Sequence[tuple[str, Sequence[tuple[str, float, str]]]]) -> str:
    """Stacked bars that sum up to 1: per item its name and (part, share, tip) each."""
    kinds = list(dict.fromkeys(name for _, parts in items for name, _, _ in parts))

    def draw(width: int) -> Canvas:
        pitch = 46
        canvas = Canvas(width=width, height=pitch * len(items) + 6 + LINE * (1 + len(kinds) // max(1, width // 200)))
        for index, (name, parts) in enumerate(items):
            canvas.text(4, pitch * index + 16, name, "label")
            done = 0.0
            for part, share, tip in parts:
                kind = f"fill s{kinds.index(part) % 8}"
                canvas.rect(4 + (width - 8) * done, pitch * index + 22, (width - 8) * share, 18, kind, tip)
                done += share
        for index, kind in enumerate(kinds):
            per_line = max(1, width // 200)
            px, py = 4 + 200 * (index % per_line), pitch * len(items) + 14 + LINE * (index // per_line)
            canvas.rect(px, py - 10, 12, 12, f"fill s{index % 8}")
            canvas.text(px + 18, py, kind)
        return canvas

    return both(draw, "share of each type of operation")


def _grid(canvas: Canvas, x: Scale, ticks: Sequence[float], top: float, bottom: float, unit: str) -> None:
    for tick in ticks:
        canvas.line(x(tick), top, x(tick), bottom)
        canvas.text(x(tick), bottom + LINE, f"{tick:g}", anchor="middle")
    canvas.text(x(ticks[-1]), bottom + 2 * LINE - 2, unit, "axis", "middle")


def _from_zero(longest: float, left: float, right: float) -> tuple[Scale, list[float]]:
    step = _step(longest or 1.0, 5)
    ticks = [float(step * k) for k in range(math.ceil((longest or 1.0) / step) + 1)]
    return lambda value: left + (right - left) * value / ticks[-1], ticks


def _axis(values: Sequence[float], left: float, right: float) -> tuple[Scale, list[float]]:
    """A scale from the smallest to the largest value, logarithmic where that is far, and its ticks."""
    low, high = min(values), max(values)
    if high <= LOG_ABOVE * low:
        return _from_zero(high, left - 12, right)
    span = math.log(high / low)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [k * 10.0**decade for decade in decades for k in (1, 2, 5)]
    return lambda value: left + (right - left) * math.log(value / low) / span, [t for t in ticks if low <= t <= high]


def _ticks(low: float, high: float, count: int) -> list[float]:
    step = _step(high - low, count)
    return [float(step * k) for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _step(span: float, count: int) -> float:
    rough = 10.0 ** math.floor(math.log10(span / count))
    return next((rough * k for k in (1, 2, 2.5, 5) if span / (rough * k) <= count), rough * 10)
