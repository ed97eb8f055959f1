"""A learned compressor and its tables -> two proved int8 .tflite files that are a codec."""

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgesdk import modelfile
from edgesdk.atomic import make_folder
from edgesdk.codecs.part import CodecPart
from edgesdk.contract import Contract, Golden, Measured, Output, encode_output
from edgesdk.errors import ConversionError
from edgesdk.preprocess import ImageInput, to_tensor, value_table
from edgesdk.quiet import captured_output
from edgesdk.recipe import Recipe
from edgesdk_convert.convert import tool_versions
from edgesdk_convert.export import FrozenGraph, freeze_function
from edgesdk_convert.inspect import read_graph
from edgesdk_convert.jobs import FromGraph
from edgesdk_convert.runtimes import check_operations, prove_runtimes
from edgesdk_convert.worker import run_job, shared_worker
from edgesdk_device.backends import Backend, open_backend
from edgesdk_device.codec import DECODER_FILE, ENCODER_FILE
from edgesdk_train.compression import LearnedCodec
from edgesdk_train.models.compressor import Compressor, int8
from edgesdk_train.models.thumbnail import Thumbnail

GOLDEN_INPUTS = 2
GOLDEN_ENTRIES = 512
#: Largest difference in steps of the code, or grey levels: kernels of other processors round a layer by one.
TOLERANCES = {"cpu": 4.0, "gpu": 8.0, "npu": 8.0}
SHAPED = ImageInput(height=1, width=1, mean=128, std=1, resize="squash")


def export_codec(learned: LearnedCodec, folder: Path, *, name: str, quiet: bool = True) -> tuple[Contract, Contract]:
    """Write `encoder.tflite` and `decoder.tflite`, each proved in every installed runtime.

    Args:
        learned: network and tables.
        folder: made if missing.
        name: of the codec, for people.
        quiet: no remarks.

    Raises:
        ConversionError: if a half does not come out as an int8 file of scale 1, or LiteRT does not give its golden
            outputs.
        WriteError: if the folder cannot be written.
    """
    shared_worker()
    make_folder(folder)
    model, tables, shape = learned.model, learned.tables, learned.model.shape
    around = 2 * shape.encoder_margin * shape.block
    picture = learned.size[0] + around, learned.size[1] + around, 3
    rows, columns = (size // shape.block + 2 * shape.decoder_margin for size in learned.size)
    with captured_output():
        graphs = (
            freeze_function(lambda image: int8(model.encode(image)), picture),
            freeze_function(lambda code: model.decode(code), (rows, columns, shape.latents)),
        )
    files = [_to_int8(graph) for graph in graphs]
    digest = hashlib.sha256(b"".join([*files, tables.weights.encode(), tables.frequencies.encode()])).hexdigest()
    part = CodecPart(
        id=digest[:8],
        half="encoder",
        block=shape.block,
        margin=shape.encoder_margin,
        lowest_gain=learned.lowest_gain,
        tables=tables,
        parity=_parity(model),
        whole=isinstance(model, Thumbnail),
        background=learned.background,
    )
    other = replace(part, half="decoder", margin=shape.decoder_margin)
    seen = replace(SHAPED, height=picture[0], width=picture[1])
    coded = replace(SHAPED, height=rows, width=columns, channels=shape.latents, color="latent")
    made = []
    for file, image_input, output, one in ((files[0], seen, "latent", part), (files[1], coded, "image", other)):
        contract = Contract(
            name=f"{name} {one.half}",
            spec=None,
            source=learned.source,
            input=image_input,
            output=Output(kind=output),  # type: ignore[arg-type]
            recipe=Recipe(precision="int8", io="int8", qat=True, steps=("quantization-aware from the first step",)),
            measured=_measure(file),
            golden=_make_golden(file, image_input),
            tolerance=TOLERANCES,
            versions=tool_versions(),
            codec=one,
        )
        contract = replace(contract, ran=prove_runtimes(file, contract, quiet=quiet))
        path = folder / (ENCODER_FILE if one.half == "encoder" else DECODER_FILE)
        written = modelfile.write(path, file, contract).contract
        assert written is not None
        made.append(written)
    return made[0], made[1]


def _parity(model: Compressor | Thumbnail) -> str:
    if isinstance(model, Thumbnail):
        return "0" * model.shape.latents
    down, across = (model.parity.numpy() < 0).astype(int)
    return "".join(str(digit) for digit in down + 2 * across)


def _to_int8(graph: FrozenGraph) -> bytes:
    file = run_job(FromGraph(graph=graph, precision="trained", io="int8"))
    check_operations(read_graph(file))
    with open_backend(file) as backend:
        for tensor in (backend.input, backend.output):
            if (np.dtype(tensor.dtype).name, tensor.scale, tensor.zero_point) != ("int8", 1.0, 0):
                raise ConversionError(
                    f"{tensor.name} came out as {np.dtype(tensor.dtype).name} with scale {tensor.scale:g}, zero point "
                    f"{tensor.zero_point}, expected int8, 1 and 0: its fake quantization is not from -128 to 127"
                )
    return file


def _make_golden(file: bytes, image_input: ImageInput) -> tuple[Golden, ...]:
    golden = []
    with open_backend(file) as backend:
        table = value_table(image_input, np.int8, 1.0, 0)
        generator = "code" if image_input.color == "latent" else "blocks"
        for seed in range(GOLDEN_INPUTS):
            item = Golden(generator=generator, seed=seed, stride=_stride(backend))  # type: ignore[arg-type]
            output = backend.dequantize(backend.invoke(to_tensor(item.pixels(image_input), table)))
            golden.append(replace(item, output=encode_output(output[:: item.stride])))
    return tuple(golden)


def _stride(backend: Backend) -> int:
    """Odd, so that every channel's turn comes."""
    return max(1, int(np.prod(backend.output.shape)) // GOLDEN_ENTRIES) | 1


def _measure(file: bytes) -> Measured:
    graph = read_graph(file)
    return Measured(
        macs=graph.macs,
        parameters=sum(op.weights for op in graph.ops),
        size_bytes=len(file),
        gzip_bytes=len(gzip.compress(file, 9)),
        sparsity=round(graph.sparsity, 6),
    )
