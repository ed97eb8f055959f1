"""What can go wrong in the world, one class a kind.

    EdgeSDKError
    ├── DataError          photos, labels or frames that are missing, unreadable or too few
    ├── WeightsError       a weights file that is missing, damaged or of another network
    ├── RunError           a training run folder that is missing, unfinished or of other settings
    ├── ModelFileError     a model file that is missing, damaged, holds code or carries no contract
    ├── ConversionError    the converter failed, or its result is not what was asked for
    │   └── GateError      the converted model lost more accuracy than --max-drop allows
    ├── BackendError       a runtime or delegate that is missing or refuses the model
    │   └── NothingMeasuredError  every measurement was refused
    ├── MeasurementError   a baseline or log that is missing or damaged, a host that is lost
    │   └── ChoiceError    no candidate keeps the limits
    ├── EngineError        a cluster that cannot be reached, or a worker that is lost again and again
    ├── SourceError        a camera, video, folder or URL that cannot be opened
    ├── StreamError        a compressed picture that is damaged, cut short or of another model
    ├── ServeError         an address that the web page cannot be served on
    ├── AppFileError       an app file that is missing, is no TOML or says what does not exist
    ├── MissingPackageError  an optional package is not installed
    └── WriteError         a file that cannot be written

Every message is one sentence: what was found, what was expected, what to do. Wrong *arguments* are `ValueError`.
The command line prints the sentence and exits with 1 (2 for wrong usage).
"""

from collections.abc import Sequence
from typing import Any


class EdgeSDKError(Exception):
    """The base of every error that edgesdk raises about the world."""


class DataError(EdgeSDKError):
    """Photos, labels or frames are missing, unreadable or too few."""


class WeightsError(EdgeSDKError):
    """A weights file is missing, damaged or belongs to another network."""


class RunError(EdgeSDKError):
    """A training run folder is missing, unfinished or was made with other settings."""


class ModelFileError(EdgeSDKError):
    """A model file is missing, damaged, holds code or carries no contract."""


class ConversionError(EdgeSDKError):
    """The converter failed or made something else than what was asked for."""


class GateError(ConversionError):
    """The converted model lost more accuracy than allowed; nothing was written."""


class BackendError(EdgeSDKError):
    """A runtime or a delegate is missing or refuses the model."""


class NothingMeasuredError(BackendError):
    """Every measurement was refused; `rows` says why, one `Refused` each."""

    def __init__(self, rows: Sequence[Any]) -> None:
        super().__init__("; ".join(dict.fromkeys(row.reason for row in rows)))
        self.rows = tuple(rows)


class MeasurementError(EdgeSDKError):
    """A baseline, a log or a fleet file is missing or damaged, or the host that measures is lost."""


class ChoiceError(MeasurementError):
    """No candidate keeps the limits."""


class EngineError(EdgeSDKError):
    """A cluster cannot be reached or has too little, or one of its workers is lost again and again."""


class SourceError(EdgeSDKError):
    """A camera, video, folder or URL cannot be opened."""


class StreamError(EdgeSDKError):
    """A compressed picture is damaged, cut short or was made by another model."""


class ServeError(EdgeSDKError):
    """The web page cannot be served: the port is taken or the address is not this machine's."""


class AppFileError(EdgeSDKError):
    """An app file is missing, is no TOML or says what does not exist."""


class MissingPackageError(EdgeSDKError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}, which is not installed: pip install 'edgesdk[{extra}]'")


class WriteError(EdgeSDKError):
    """A file cannot be written: no such folder, no permission or a full disk."""
