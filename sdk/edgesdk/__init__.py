"""edgesdk: from a folder of photos to a proved .tflite on a camera device.

    import edgesdk

    file = edgesdk.convert(data="photos/", width=0.5, res=160, max_drop=1.0)
    with edgesdk.Classifier(file.path) as classify, edgesdk.Camera(0) as camera:
        for answer in edgesdk.Stream(camera, classify):
            print(answer.label, answer.score, answer.age_ms)

Importing it loads no TensorFlow, OpenCV or runtime: each name below is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesdk.contract import Contract as Contract
    from edgesdk.converted import Converted as Converted
    from edgesdk.errors import EdgeSDKError as EdgeSDKError
    from edgesdk.generation import Augmented as Augmented
    from edgesdk.generation import Generated as Generated
    from edgesdk.grid.rayengine import RayEngine as RayEngine
    from edgesdk.grid.rayteam import RayTeam as RayTeam
    from edgesdk.measurement import Measurement as Measurement
    from edgesdk.modelfile import ModelFile as ModelFile
    from edgesdk.photos.packing import Packed as Packed
    from edgesdk.photos.packing import pack as pack
    from edgesdk.preprocess import ImageInput as ImageInput
    from edgesdk.results import Check as Check
    from edgesdk.results import Classification as Classification
    from edgesdk.results import Verified as Verified
    from edgesdk.runfolder import Methods as Methods
    from edgesdk.runfolder import Run as Run
    from edgesdk.spec import ModelSpec as ModelSpec
    from edgesdk.verbs import bench as bench
    from edgesdk.verbs import bench_android as bench_android
    from edgesdk.verbs import bench_fleet as bench_fleet
    from edgesdk.verbs import bench_on as bench_on
    from edgesdk.verbs import choose as choose
    from edgesdk.verbs import convert as convert
    from edgesdk.verbs import doctor as doctor
    from edgesdk.verbs import inspect as inspect
    from edgesdk.verbs import inspect_run as inspect_run
    from edgesdk.verbs import run as run
    from edgesdk.verbs import train as train
    from edgesdk.verbs import verify as verify
    from edgesdk.verbs.codec import compress as compress
    from edgesdk.verbs.codec import decompress as decompress
    from edgesdk.verbs.codec import train_codec as train_codec
    from edgesdk.verbs.generative import augment as augment
    from edgesdk.verbs.generative import convert_generative as convert_generative
    from edgesdk.verbs.generative import generate as generate
    from edgesdk.verbs.generative import train_generative as train_generative
    from edgesdk.verbs.phone import bench_phone as bench_phone
    from edgesdk.verbs.phone import build_site as build_site
    from edgesdk.verbs.phone import phone as phone
    from edgesdk_device.backends import Delegate as Delegate
    from edgesdk_device.cameras import Camera as Camera
    from edgesdk_device.cameras import CaptureOptions as CaptureOptions
    from edgesdk_device.cameras import Frame as Frame
    from edgesdk_device.cameras import Notice as Notice
    from edgesdk_device.cameras import open_source as open_source
    from edgesdk_device.classifier import Classifier as Classifier
    from edgesdk_device.codec import Codec as Codec
    from edgesdk_device.generator import Encoder as Encoder
    from edgesdk_device.generator import Generator as Generator
    from edgesdk_device.stream import Answer as Answer
    from edgesdk_device.stream import Stream as Stream

__version__ = "0.1.0"

_HOMES = {
    "Answer": "edgesdk_device.stream",
    "Augmented": "edgesdk.generation",
    "Camera": "edgesdk_device.cameras",
    "CaptureOptions": "edgesdk_device.cameras",
    "Check": "edgesdk.results",
    "Classification": "edgesdk.results",
    "Classifier": "edgesdk_device.classifier",
    "Codec": "edgesdk_device.codec",
    "Contract": "edgesdk.contract",
    "Converted": "edgesdk.converted",
    "Delegate": "edgesdk_device.backends",
    "EdgeSDKError": "edgesdk.errors",
    "Encoder": "edgesdk_device.generator",
    "Frame": "edgesdk_device.cameras",
    "Generated": "edgesdk.generation",
    "Generator": "edgesdk_device.generator",
    "ImageInput": "edgesdk.preprocess",
    "Measurement": "edgesdk.measurement",
    "Methods": "edgesdk.runfolder",
    "ModelFile": "edgesdk.modelfile",
    "ModelSpec": "edgesdk.spec",
    "Notice": "edgesdk_device.cameras",
    "Packed": "edgesdk.photos.packing",
    "RayEngine": "edgesdk.grid.rayengine",
    "RayTeam": "edgesdk.grid.rayteam",
    "Run": "edgesdk.runfolder",
    "Stream": "edgesdk_device.stream",
    "Verified": "edgesdk.results",
    "augment": "edgesdk.verbs.generative",
    "bench": "edgesdk.verbs",
    "bench_android": "edgesdk.verbs",
    "bench_fleet": "edgesdk.verbs",
    "bench_on": "edgesdk.verbs",
    "bench_phone": "edgesdk.verbs.phone",
    "build_site": "edgesdk.verbs.phone",
    "choose": "edgesdk.verbs",
    "compress": "edgesdk.verbs.codec",
    "convert": "edgesdk.verbs",
    "decompress": "edgesdk.verbs.codec",
    "convert_generative": "edgesdk.verbs.generative",
    "doctor": "edgesdk.verbs",
    "generate": "edgesdk.verbs.generative",
    "inspect": "edgesdk.verbs",
    "inspect_run": "edgesdk.verbs",
    "open_source": "edgesdk_device.cameras",
    "pack": "edgesdk.photos.packing",
    "phone": "edgesdk.verbs.phone",
    "run": "edgesdk.verbs",
    "train": "edgesdk.verbs",
    "train_codec": "edgesdk.verbs.codec",
    "train_generative": "edgesdk.verbs.generative",
    "verify": "edgesdk.verbs",
}
__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgesdk' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
