"""The newest frame of a source, classified: never a stale one."""

from dataclasses import dataclass

from edgesdk.results import Classification
from edgesdk_device.cameras import Frame


@dataclass(frozen=True, kw_only=True)
class Age:
    """Where the time between a frame and its answer went, in milliseconds.

    Attributes:
        capture_ms: reading and decoding the frame.
        queue_ms: from captured to taken up by the classifier.
        preprocess_ms, invoke_ms, post_ms: fitting it to the model, the runtime, from raw output to labels.
    """

    capture_ms: float
    queue_ms: float
    preprocess_ms: float
    invoke_ms: float
    post_ms: float

    @property
    def total_ms(self) -> float:
        """From the frame's first byte to its answer."""
        return self.capture_ms + self.queue_ms + self.preprocess_ms + self.invoke_ms + self.post_ms


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a stream says of one frame.

    Attributes:
        frame, classification: the frame, and what it shows.
        age: of the answer.
        dropped: frames so far that a newer one overtook.
        corrupt: frames so far that could not be decoded.
    """

    frame: Frame
    classification: Classification
    age: Age
    dropped: int
    corrupt: int

    @property
    def label(self) -> str:
        """The best class."""
        return self.classification.label

    @property
    def score(self) -> float:
        """Its probability, 0 to 1."""
        return self.classification.score

    @property
    def age_ms(self) -> float:
        """Milliseconds from the frame's first byte to this answer."""
        return self.age.total_ms
