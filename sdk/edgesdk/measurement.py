"""What `bench` returns: frozen values."""

from dataclasses import dataclass, field
from typing import Literal

from edgesdk.choice import Choice

MEMORY = "memory"  # the source whose frames are there already


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Of a list of times in milliseconds; nothing is clipped."""

    p50: float
    p90: float
    p99: float
    max: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What the machine was like at one moment.

    Attributes:
        governor: of the CPU's frequency, "" where the system does not say.
        clock_mhz: of the fastest core now; None where the system does not say.
        temperature_c: of the hottest part; None likewise.
        throttled: what holds a Raspberry Pi back; None on other boards.
        load: processes that wanted a CPU during the last minute.
    """

    governor: str = ""
    clock_mhz: float | None = None
    temperature_c: float | None = None
    throttled: tuple[str, ...] | None = None
    load: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Age:
    """Medians, in milliseconds, of where the time from a frame to its answer goes.

    Attributes:
        capture: reading and decoding, 0 where frames lie in memory.
        queue: waiting for the model.
        prepare, invoke, post: fitting the frame to the model, the runtime, from its raw output to a label.
    """

    capture: float = 0.0
    queue: float = 0.0
    prepare: float
    invoke: float
    post: float


@dataclass(frozen=True, kw_only=True)
class Paced:
    """A frame to its label at the pace of a camera, where the processor sleeps between frames.

    Attributes:
        source: where the frames came from.
        fps: of the answers.
        frame_ms: from a frame's first byte to its label.
        age: where that went.
        dropped: frames that a newer one overtook.
    """

    source: str
    fps: float
    frame_ms: Percentiles
    age: Age
    dropped: int


@dataclass(frozen=True, kw_only=True)
class Minute:
    """A stretch of `--sustained`: seconds from its start to this stretch's end, frame to label, and the machine."""

    end_s: float
    frame_ms: Percentiles
    conditions: Conditions


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How often one class was taken for another, and a photo of it (base64 JPEG, "" beyond the first few)."""

    true: str
    answered: str
    count: int
    photo: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Answers to labelled photos.

    Attributes:
        top1, top5, n: fractions right, and of how many photos.
        ci95: of top1 (Wilson).
        ece: expected calibration error, 0 to 1; None where the output is no probability.
        per_class: label (with its index where several share it) -> fraction of its photos that were right.
        confusions: most frequent first.
        float_top1: of the float network on the same data set, as the contract says; None where it does not.
    """

    top1: float
    top5: float
    n: int
    ci95: tuple[float, ...]
    ece: float | None
    per_class: dict[str, float]
    confusions: tuple[Confusion, ...]
    float_top1: float | None = None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one model costs on this machine with one backend and number of threads.

    Attributes:
        model, path, sha256: which file.
        precision: of the file, such as "int8".
        backend, threads, delegate: what ran it; delegate is the external one's name, "" without one.
        place: the device's name in a fleet, "" for this machine.
        family, device: "cpu" or "gpu", and the GPU's name.
        choice: why this backend and number of threads, where that was left open.
        nodes, delegated_nodes: operations in the graph, and how many the delegate took; without one XNNPACK or the GPU.
        max_difference: the largest difference from a golden output; None where the contract holds none.
        cpu_over_wall: CPU seconds per second of invoke: 2 threads that really run give almost 2. This, delegated_nodes
            and peak_rss_bytes are None where a browser measured, which does not tell them.
        load_ms: read, check and build; allocate_ms: tensors and packed weights, None where the runtime does not tell
            them apart; first_invoke_ms: the first run, before any warm-up; warmup_ms: the runs after it that are left
            out.
        invoke_ms: the runtime alone, back to back. frame_ms: a 640x480 frame to its label, back to back.
        age: where frame_ms goes. paced: the same at a camera's pace.
        sustained: stretches of it over minutes; () where that was not asked for.
        peak_rss_bytes: of the whole measuring process; rss_delta_bytes: what the model added to it.
        top1, top1_n: accuracy on the given data, and on how many images; None without data. judged: the rest of it.
        board, versions: the machine and what ran on it.
        before, after: what the machine was like.
        warnings: what makes these figures doubtful, with the fix.
        turns: measurements of the same number took turns.
        samples_ms: the raw invoke times, about 20,000 at most: of more, every second, third, ... of each block, while
            invoke_ms is of all. blocks: how many of them ran in a row; between blocks ran what was measured in turns.
            yardstick_ms: what a fixed piece of work took beside each block.
        frame_samples_ms: the raw times of frame_ms, likewise.
    """

    model: str
    path: str
    sha256: str
    size_bytes: int
    precision: str = ""
    backend: str
    threads: int
    delegate: str = ""
    place: str = ""
    family: Literal["cpu", "gpu"] = "cpu"
    device: str = ""
    choice: Choice | None = None
    nodes: int
    delegated_nodes: int | None
    cpu_over_wall: float | None
    load_ms: float
    allocate_ms: float | None = None
    first_invoke_ms: float
    warmup_ms: float = 0.0
    invoke_ms: Percentiles
    frame_ms: Percentiles
    age: Age | None = None
    paced: Paced | None = None
    sustained: tuple[Minute, ...] = ()
    peak_rss_bytes: int | None
    rss_delta_bytes: int = 0
    max_difference: float | None = None
    top1: float | None = None
    top1_n: int = 0
    judged: Judged | None = None
    board: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    before: Conditions | None = None
    after: Conditions | None = None
    warnings: tuple[str, ...] = ()
    turns: int = 0
    samples_ms: tuple[float, ...] = field(default=(), repr=False)  # no screen is for thousands of numbers
    blocks: tuple[int, ...] = field(default=(), repr=False)
    yardstick_ms: tuple[float, ...] = field(default=(), repr=False)
    frame_samples_ms: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What could not be measured: `reason` is one sentence, the rest as in `Measurement`."""

    model: str
    path: str
    sha256: str
    backend: str
    threads: int | None
    delegate: str
    reason: str
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class OpTime:
    """What one type of operation takes of a run: milliseconds, how many of them, fraction of the whole."""

    name: str
    mean_ms: float
    count: int
    share: float


@dataclass(frozen=True, kw_only=True)
class OnAndroid:
    """What Android's benchmark_model measured on a device; it keeps no single times, so that there are no percentiles.

    Attributes:
        model, path, sha256, backend, threads, delegate: as in `Measurement`.
        device: its name, version of Android and serial.
        load_ms, first_invoke_ms: making the session, and the first run.
        mean_ms, std_ms, min_ms, max_ms, n: of the runs after the warm-up.
        nodes, delegated_nodes: as the tool says them; None where it does not.
        peak_memory_bytes: of the tool; None where it does not say.
        place: as in `Measurement`.
        ops: the tool's profile by type of operation, longest first; () where it was not asked for one.
    """

    model: str
    path: str
    sha256: str
    backend: str
    threads: int
    delegate: str
    device: str
    load_ms: float
    first_invoke_ms: float
    mean_ms: float
    std_ms: float
    min_ms: float
    max_ms: float
    n: int
    nodes: int | None
    delegated_nodes: int | None
    peak_memory_bytes: int | None
    ops: tuple[OpTime, ...] = ()
    place: str = ""
