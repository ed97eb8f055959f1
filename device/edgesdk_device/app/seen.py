"""What the app says of one frame."""

from dataclasses import dataclass

from edgesdk_device.app.decisions import Event
from edgesdk_device.stream import Answer


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The answer to one frame and what was decided with it.

    Attributes:
        answer: to this frame alone.
        label: what is there by the votes of the last frames, "" for none of these.
        events: everything that happened since the frame before, the source's troubles included.
    """

    answer: Answer
    label: str
    events: tuple[Event, ...] = ()

    @property
    def still(self) -> bool:
        """Whether nothing moved, so that the answer is the one before."""
        return self.answer.classification.invoke_ms == 0

    @property
    def name(self) -> str:
        """The frame's file, "" for a camera's; what is no text in a file's name becomes "?"."""
        return self.answer.frame.name.encode(errors="replace").decode()

    def to_json(self) -> dict[str, object]:
        """One line, as `--events` and `--json` write it."""
        answer, age = self.answer, self.answer.age
        return {
            "frame": answer.frame.index,
            "name": self.name,
            "label": answer.label,
            "score": round(answer.score, 4),
            "decided": self.label or None,
            "top": [[label, round(score, 4)] for label, score in answer.classification.top],
            "age_ms": round(answer.age_ms, 3),
            "capture_ms": round(age.capture_ms, 3),
            "queue_ms": round(age.queue_ms, 3),
            "preprocess_ms": round(age.preprocess_ms, 3),
            "invoke_ms": round(age.invoke_ms, 3),
            "dropped": answer.dropped,
            "corrupt": answer.corrupt,
        }
