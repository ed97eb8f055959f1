"""External delegates: shared libraries that take operations over, loaded by the path that the user names."""

import ctypes
import sys
from dataclasses import field
from pathlib import Path
from typing import Any

from edgesdk.errors import BackendError
from edgesdk.frozen import frozen

_SYMBOLS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")

#: A word in the library's name -> what the kind needs, said when it does not load.
_KINDS = {
    "nnapi": "NNAPI exists on Android only, is deprecated since Android 15 and has no Python there: measure on the "
    "phone with `edgesdk bench --on adb:SERIAL --backend nnapi`",
    "edgetpu": "the Edge TPU needs Google's libedgetpu1-std and a model that edgetpu_compiler compiled",
    "armnn": "Arm NN's delegate (libarmnnDelegate.so) is built for Arm and needs libarmnn.so beside it",
    "hexagon": "Hexagon needs Qualcomm's libhexagon_nn_skel libraries and runs on Android only",
    "gpu": "TFLite's GPU delegate needs OpenCL or OpenGL ES from the board's maker; `--backend litert-gpu` takes "
    "Vulkan or Metal instead",
}


@frozen
class Delegate:
    """A shared library with `tflite_plugin_create_delegate`, and what it is told.

    Attributes:
        path: the library; a bare name such as "libedgetpu.so.1" is searched where the system keeps libraries.
        options: name -> value, as the library's documentation lists them.
    """

    path: Path | str
    options: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not str(self.path):
            raise ValueError("the delegate's path is empty, expected a shared library such as libedgetpu.so.1")
        for name, value in self.options.items():
            if not name or not isinstance(name, str) or not isinstance(value, str):
                raise ValueError(f"delegate option {name!r} is {value!r}, expected a name and a text")

    @property
    def name(self) -> str:
        """The library's file name."""
        return Path(self.path).name


def load_delegate(module: Any, delegate: Delegate) -> Any:
    """The delegate as the interpreter of `module` takes it.

    Raises:
        BackendError: if the library is missing, is none, lacks a symbol or creates nothing.
    """
    path = Path(delegate.path)
    if path.name != str(delegate.path) and not path.is_file():
        raise BackendError(f"the delegate {path} is not there: name a shared library{_needs(delegate)}")
    name = str(path.resolve()) if path.is_file() else str(path)
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        reason = " ".join(str(error).removeprefix(f"{name}: ").split())
        raise BackendError(
            f"the delegate {path} does not load on {sys.platform}: {reason}{_needs(delegate)}"
        ) from error
    missing = [symbol for symbol in _SYMBOLS if not hasattr(library, symbol)]
    if missing:
        raise BackendError(
            f"{path} is no TFLite delegate: it lacks {missing[0]}; name a library built as an external delegate"
        )
    try:
        return module.load_delegate(name, delegate.options)
    except (ValueError, OSError, AttributeError, RuntimeError) as error:
        said = " ".join(str(error).removeprefix(f"Failed to load delegate from {name}").split())
        reason = said or "it says nothing of the reason"
        raise BackendError(f"the delegate {path} creates nothing: {reason}{_needs(delegate)}") from error


def _needs(delegate: Delegate) -> str:
    found = [text for word, text in _KINDS.items() if word in delegate.name.lower()]
    return f"; {found[0]}" if found else ""
