"""Faster, slower, or not distinguishable from what was measured before.

A run an hour later differs because the machine does. So two ratios must agree: that of the times, and that of the times
in units of a fixed piece of work which was measured beside each block. Both 99 % intervals must lie beyond the
tolerance. They tell how blocks of one process differ, not how processes do, which lie elsewhere in memory and have
other neighbours: so what seems faster or slower must seem so `CONFIRMATIONS` times more, in a fresh process each time.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgesdk.choice import name_runtime
from edgesdk.contract import decode_value
from edgesdk.errors import MeasurementError
from edgesdk.measurement import Measurement
from edgesdk.stats import ratio_interval, split_blocks

LEVEL = 0.99
TOLERANCE_PERCENT = 5.0
CONFIRMATIONS = 2
FEWEST_BLOCKS = 5
LARGEST_FILE_BYTES = 2**28
Verdict = Literal["faster", "slower", "not distinguishable", "not comparable"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One measurement against the baseline's.

    Attributes:
        name: of the measurement, in words.
        verdict: see above.
        ratio, low, high: median invoke time over the baseline's, with its interval; 1 where they cannot be compared.
        corrected, corrected_low, corrected_high: the same in units of the fixed piece of work.
        reason: why they cannot be compared, "" where they can.
    """

    name: str
    verdict: Verdict
    ratio: float = 1.0
    low: float = 1.0
    high: float = 1.0
    corrected: float = 1.0
    corrected_low: float = 1.0
    corrected_high: float = 1.0
    reason: str = ""

    @property
    def changed(self) -> bool:
        """Whether it is told faster or slower."""
        return self.verdict in ("faster", "slower")

    def __str__(self) -> str:
        if self.reason:
            return f"{self.name}: {self.verdict}: {self.reason}"
        return (
            f"{self.name}: {self.verdict}: {self.ratio:.3f} of the baseline's time ({self.low:.3f} to {self.high:.3f})"
            f", by the machine's pace {self.corrected:.3f} ({self.corrected_low:.3f} to {self.corrected_high:.3f})"
        )


def read_baseline(path: Path | str) -> list[Measurement]:
    """The measurements in a JSON report of `bench`.

    Raises:
        MeasurementError: if the file is missing, is no such report, or holds no measurement with its raw times.
    """
    path = Path(path)
    what = "expected what `edgesdk bench --report FILE.json` wrote"
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise MeasurementError(f"{path} is larger than {LARGEST_FILE_BYTES >> 20} MiB, {what}")
        items = json.loads(path.read_bytes())
        rows = [decode_value(Measurement, item, "row") for item in items if "samples_ms" in item]
    except OSError as error:
        raise MeasurementError(f"cannot read {path} ({error.strerror}): {what}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise MeasurementError(f"{path} is no report of measurements ({str(error)[:100]}): {what}") from error
    measured = [row for row in rows if row.blocks]
    if not measured:
        raise MeasurementError(f"{path} holds no measurement with its raw times, {what}")
    if any((len(row.blocks), sum(row.blocks)) != (len(row.yardstick_ms), len(row.samples_ms)) for row in measured):
        raise MeasurementError(f"{path} is damaged, its raw times do not fit their blocks: {what}")
    return rows


def check_tolerance(percent: float) -> None:
    """Refuse what is no tolerance, before anything is measured.

    Raises:
        ValueError: if it is below 0 or beyond 1000.
    """
    if not 0 <= percent < 1000:
        raise ValueError(f"tolerance is {percent}, expected percent from 0 up, such as 5")


def compare(
    rows: Sequence[Measurement], baseline: Sequence[Measurement], tolerance_percent: float = TOLERANCE_PERCENT
) -> list[Comparison]:
    """Each measurement against the baseline's of the same model, runtime, threads, delegate and place.

    Raises:
        ValueError: as `check_tolerance`.
    """
    check_tolerance(tolerance_percent)
    before = {_key(row): row for row in baseline}
    return [_compare(row, before.get(_key(row)), 1 + tolerance_percent / 100) for row in rows]


def confirm(found: Sequence[Comparison], again: Sequence[Comparison]) -> list[Comparison]:
    """Each comparison, but told by `again` and not distinguishable where that does not say the same of it."""
    others = {comparison.name: comparison for comparison in again}
    return [
        replace(others[item.name], verdict="not distinguishable")
        if item.changed and item.name in others and others[item.name].verdict != item.verdict
        else item
        for item in found
    ]


def _compare(row: Measurement, before: Measurement | None, factor: float) -> Comparison:
    place = f" on {row.place}" if row.place else ""
    name = f"{row.model}, {name_runtime(row.backend, row.threads, row.delegate)}{place}"
    reason = ""
    if before is None:
        reason = "the baseline does not hold it"
    elif before.board != row.board:
        reason = f"the baseline was measured on {before.board}, this on {row.board}"
    elif min(len(row.blocks), len(before.blocks)) < FEWEST_BLOCKS:
        reason = f"fewer than {FEWEST_BLOCKS} blocks of runs: leave out --quick"
    if before is None or reason:
        return Comparison(name=name, verdict="not comparable", reason=reason)
    new, old = (split_blocks(m.samples_ms, m.blocks) for m in (row, before))
    ratio, low, high = ratio_interval(new, old, level=LEVEL)
    new, old = (
        [block / yard for block, yard in zip(blocks, m.yardstick_ms, strict=True)]
        for blocks, m in ((new, row), (old, before))
    )
    corrected, corrected_low, corrected_high = ratio_interval(new, old, level=LEVEL)
    verdict: Verdict = "not distinguishable"
    if min(low, corrected_low) > factor:
        verdict = "slower"
    elif max(high, corrected_high) < 1 / factor:
        verdict = "faster"
    return Comparison(
        name=name,
        verdict=verdict,
        ratio=ratio,
        low=low,
        high=high,
        corrected=corrected,
        corrected_low=corrected_low,
        corrected_high=corrected_high,
    )


def _key(row: Measurement) -> tuple[str, str, int, str, str]:
    return row.model, row.backend, row.threads, row.delegate, row.place
