"""Whether a model file would run code of its own: read from what it says, before anything loads it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgesdk.errors import ModelFileError

#: Operations that read or write files, open sockets or call Python. PrintV2 appends to a file that it names.
TOUCHING = re.compile(
    "(Read|Write|Append)File|MatchingFiles|.*PyFunc.*|.*Reader(V2)?|.*(TextFile|Dataset|Summary|File[Ss]ystem).*|Save.*"
    "|Restore.*|MergeV2Checkpoints|Debug.*|Rpc.*|RemoteCall|PrintV2|ImmutableConst|LoadAndRemapMatrix"
    "|GenerateVocabRemapping|(De|En)codeProto.*"
)
#: Those of them that every SavedModel holds to load its weights; they may stand where the caller says the file's name.
CHECKPOINT = re.compile("SaveV2|RestoreV2|MergeV2Checkpoints")
#: Functions of TensorFlow that a Keras file may name; others touch the machine.
PLAIN_FUNCTION = re.compile(
    r"(compat\.v1\.)?((math|nn|image|linalg|__operators__)\.)?(?!load|py_|numpy_f|read_|write_|matching)\w+"
)
WITH_TRUST = "code from a model file is run only with --trust"


def check_keras_config(path: Path, config: Any) -> None:
    """Refuse a Keras network that holds code, or calls what is not Keras.

    Args:
        path: of the file, for the sentence.
        config: the network's JSON, decoded.

    Raises:
        ModelFileError: names what was found.
    """
    for item in _objects(config):
        kind, module = item["class_name"], item.get("module")
        inner = item.get("config")
        name = inner.get("name", "") if isinstance(inner, dict) else ""
        if kind in ("Lambda", "__lambda__"):
            raise ModelFileError(f"{path} holds a Lambda layer {name!r}: {WITH_TRUST}")
        function = inner.get("function") if isinstance(inner, dict) and kind == "TFOpLambda" else None
        if function is not None and not PLAIN_FUNCTION.fullmatch(str(function)):
            raise ModelFileError(f"{path} calls tf.{function}: {WITH_TRUST}")
        if module is not None and str(module).split(".")[0] not in ("keras", "tf_keras"):
            raise ModelFileError(f"{path} calls {kind} of the module {module}, not of Keras: {WITH_TRUST}")


def check_saved_model(path: Path) -> None:
    """Refuse a SavedModel with operations that touch the machine.

    Raises:
        ModelFileError: names the operation; or if the file is damaged.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        graphs = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs
    except (DecodeError, OSError) as error:
        raise ModelFileError(f"{path / 'saved_model.pb'} is damaged ({error}): export the model again") from error
    if not graphs:
        raise ModelFileError(f"{path / 'saved_model.pb'} holds no graph: export the model again")
    for graph in graphs:
        if not graph.object_graph_def.nodes:
            raise ModelFileError(f"{path} is of TensorFlow 1, whose whole graph is run when it is loaded: {WITH_TRUST}")
        functions = {function.signature.name: function for function in graph.graph_def.library.function}
        # TensorFlow itself gives these the checkpoint's name; from anything else a name would come out of the file.
        named = {
            name for name, function in functions.items() if any(arg.type == 7 for arg in function.signature.input_arg)
        }
        reached = _reached(functions, [name for name in functions if name not in named])
        for name, function in functions.items():
            for node in function.node_def:
                loads = CHECKPOINT.fullmatch(node.op) and name not in reached
                if TOUCHING.fullmatch(node.op) and not loads:
                    raise ModelFileError(f"{path} holds the operation {node.op}, which touches files: {WITH_TRUST}")
        for node in graph.graph_def.node:
            if TOUCHING.fullmatch(node.op) and not CHECKPOINT.fullmatch(node.op):
                raise ModelFileError(f"{path} holds the operation {node.op}, which touches files: {WITH_TRUST}")


def _reached(functions: dict[str, Any], start: list[str]) -> set[str]:
    """Names of the functions that these call, themselves included."""
    reached: set[str] = set()
    ahead = list(start)
    while ahead:
        name = ahead.pop()
        if name in reached or name not in functions:
            continue
        reached.add(name)
        for node in functions[name].node_def:
            for value in node.attr.values():
                ahead += [value.func.name] if value.func.name else []
                ahead += [function.name for function in value.list.func]
    return reached


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of Keras' JSON that names a class."""
    ahead = [value]
    while ahead:
        item = ahead.pop()
        if isinstance(item, dict):
            if isinstance(item.get("class_name"), str):
                yield item
            ahead += item.values()
        elif isinstance(item, list):
            ahead += item
