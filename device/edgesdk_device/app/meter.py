"""How fast and how fresh the answers are just now."""

from collections import deque
from dataclasses import dataclass

WINDOW = 150  # answers: five seconds at 30 a second


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Answers a second, and the median and 95th percentile of their age in milliseconds; 0 before the first."""

    fps: float
    age_p50_ms: float
    age_p95_ms: float


class Meter:
    """Keeps the last answers' times and ages; one thread adds while another asks."""

    def __init__(self) -> None:
        self._last: deque[tuple[float, float]] = deque(maxlen=WINDOW)

    def add(self, at: float, age_ms: float) -> None:
        """Count an answer that was ready at `at` (seconds, any clock)."""
        self._last.append((at, age_ms))

    def pace(self, now: float) -> Pace:
        """The pace of the last answers; a source that stands still counts until `now`."""
        last = self._last.copy()  # in one step, as far as other threads can see
        if len(last) < 2:
            return Pace(fps=0.0, age_p50_ms=0.0, age_p95_ms=0.0)
        ages = sorted(age_ms for _, age_ms in last)
        seconds = last[-1][0] - last[0][0]
        gap = seconds / (len(last) - 1)
        seconds += max(0.0, now - last[-1][0] - gap)
        return Pace(
            fps=(len(last) - 1) / seconds if seconds > 0 else 0.0,
            age_p50_ms=ages[len(ages) // 2],
            age_p95_ms=ages[min(len(ages) - 1, len(ages) * 95 // 100)],
        )
