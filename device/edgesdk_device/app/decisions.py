"""From the answers to single frames to what is there: nothing here reads a clock, a file or a frame."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from edgesdk_device.app.settings import Decisions

Kind = Literal["seen", "gone", "lost", "stalled", "recovered", "saved"]
KINDS: tuple[Kind, ...] = ("seen", "gone", "lost", "stalled", "recovered", "saved")
NOTHING = ""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that was decided, or that happened to the source.

    Attributes:
        kind: "seen" and "gone" (a label), "lost", "stalled", "recovered" (the source), "saved" (a frame, on the page).
        at: `time.monotonic()`.
        label, score: of "seen", "gone" and "saved"; the score is that of the frame that decided.
        frame: the index of that frame, None where no frame decided.
        text: of the source, a sentence for a person; of "saved", the file in its folder; else "".
    """

    kind: Kind
    at: float
    label: str = ""
    score: float | None = None
    frame: int | None = None
    text: str = ""


class Decider:
    """Counts votes: a label is there once enough of the last frames say so, and until enough say something else.

    Attributes:
        label: what is there now, "" for none of these.

    A label that comes back before its cooldown ended is reported when it ends, if it is there then. What was not
    reported as seen is not reported as gone.
    """

    def __init__(self, decisions: Decisions) -> None:
        self.decisions = decisions
        self.label = NOTHING
        self._reported = NOTHING
        self._left_at: dict[str, float] = {}
        self._votes: deque[str] = deque(maxlen=decisions.window)

    def decide(self, label: str, score: float, *, at: float, frame: int) -> tuple[Event, ...]:
        """Count the answer to one frame.

        Args:
            at: seconds of any clock that never goes back.

        Returns:
            What changed by it: at most one "gone" and one "seen", in this order.
        """
        vote = label if score >= self.decisions.threshold and label not in self.decisions.none else NOTHING
        self._votes.append(vote)
        if self._votes.count(vote) >= self.decisions.votes:
            self.label = vote
        events = self._leave(at, score, frame)
        if self.label and not self._reported and at >= self._quiet_until(self.label):
            self._reported = self.label
            events += (Event(kind="seen", at=at, label=self.label, score=score, frame=frame),)
        return events

    def forget(self, *, at: float) -> tuple[Event, ...]:
        """Drop all votes, because the frames that come next have nothing to do with the last ones.

        Returns:
            The "gone" of the label that was there.
        """
        self._votes.clear()
        self.label = NOTHING
        return self._leave(at, None, None)

    def _leave(self, at: float, score: float | None, frame: int | None) -> tuple[Event, ...]:
        left = self._reported
        if not left or left == self.label:
            return ()
        self._reported = NOTHING
        self._left_at[left] = at
        return (Event(kind="gone", at=at, label=left, score=score, frame=frame),)

    def _quiet_until(self, label: str) -> float:
        return self._left_at.get(label, float("-inf")) + self.decisions.cooldown_of(label)
