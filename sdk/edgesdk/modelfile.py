"""Read and write a .tflite with its metadata, labels and contract.

The file is a TFLite flatbuffer (with the standard TFLITE_METADATA buffer) followed by an uncompressed zip that holds
`labels.txt` and `edgesdk.json`. The contract's sha256 covers the flatbuffer byte for byte, the zip's members have their
CRC-32: a flipped bit is found before any interpreter sees the file.
"""

import hashlib
from dataclasses import field, replace
from pathlib import Path
from typing import BinaryIO

from edgesdk.appended import DamagedError, list_appended, read_appended
from edgesdk.contract import LARGEST_JSON_BYTES, Contract, from_json
from edgesdk.errors import ModelFileError
from edgesdk.flatbuffer import IDENTIFIER, pack_model, unpack_model
from edgesdk.frozen import frozen

LARGEST_MODEL_BYTES = 2**30
METADATA_NAME = b"TFLITE_METADATA"
CONTRACT_FILE = "edgesdk.json"
LABELS_FILE = "labels.txt"


@frozen
class ModelFile:
    """A .tflite that was read and checked.

    Attributes:
        path: where it lies.
        content: the flatbuffer without the appended files; what an interpreter gets.
        contract: what it says of itself; None for a file that edgesdk did not write.
        sha256: of `content`; with a contract it equals the contract's.
    """

    path: Path
    content: bytes = field(repr=False)  # megabytes
    contract: Contract | None
    sha256: str

    def required_contract(self) -> Contract:
        """The contract.

        Raises:
            ModelFileError: if the file carries none.
        """
        if self.contract is None:
            raise ModelFileError(
                f"{self.path} carries no edgesdk contract, so nothing says how to feed it: make the file with "
                "`edgesdk convert`"
            )
        return self.contract


def read(path: Path | str) -> ModelFile:
    """Read a .tflite and check it byte for byte against its contract.

    Raises:
        ModelFileError: if the file is missing, not a TFLite model, cut short or changed.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise ModelFileError(f"{path} is a folder, expected a .tflite file")
        if path.stat().st_size > LARGEST_MODEL_BYTES:
            raise ModelFileError(f"{path} is larger than {LARGEST_MODEL_BYTES >> 30} GiB, too large for a model file")
        with path.open("rb") as file:
            content, contract_text = _read_parts(path, file)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}; name a .tflite file") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if contract_text is None:
        # Our name inside the flatbuffer's metadata without our file behind it: the tail is gone.
        if CONTRACT_FILE.encode() in content:
            raise ModelFileError(f"{path} was cut short at {len(content)} bytes or damaged: copy it again")
        return ModelFile(path=path, content=content, contract=None, sha256=sha256)
    try:
        contract = from_json(contract_text)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    if sha256 != contract.sha256:
        raise ModelFileError(
            f"{path} was changed since it was made: its sha256 is {sha256[:12]}…, its contract says "
            f"{contract.sha256[:12]}…; copy it again"
        )
    return ModelFile(path=path, content=content, contract=contract, sha256=sha256)


def write(path: Path | str, model: bytes, contract: Contract) -> ModelFile:
    """Write a converted model with its metadata, labels and contract, in one atomic step.

    Args:
        path: final name.
        model: the converter's flatbuffer.
        contract: its sha256 is filled in here.

    Returns:
        What `read` gives for the new file.

    Raises:
        WriteError: if the file cannot be written; what stood there stays.
    """
    import io  # for those who convert: a device never writes one
    import zipfile

    from edgesdk.atomic import write_bytes

    content, contract = seal(model, contract)
    tail = io.BytesIO(content)
    tail.seek(0, io.SEEK_END)
    with zipfile.ZipFile(tail, "a", zipfile.ZIP_STORED) as archive:  # MediaPipe takes uncompressed members only
        members = {CONTRACT_FILE: contract.to_json()}
        if contract.output.labels:
            members[LABELS_FILE] = "".join(" ".join(label.split()) + "\n" for label in contract.output.labels)
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name), text)  # a fixed date: the same model gives the same bytes
    write_bytes(path, tail.getvalue())
    return ModelFile(path=Path(path), content=content, contract=contract, sha256=contract.sha256)


def seal(model: bytes, contract: Contract) -> tuple[bytes, Contract]:
    """Put the metadata table into the flatbuffer and its hash into the contract."""
    from edgesdk.metadata import build_metadata

    content = _with_metadata(model, build_metadata(contract))
    return content, replace(contract, sha256=hashlib.sha256(content).hexdigest())


def _read_parts(path: Path, file: BinaryIO) -> tuple[bytes, bytes | None]:
    """The flatbuffer, read once, and the contract's text; None where none is appended."""
    begin = file.read(8)
    if begin[4:] != IDENTIFIER:
        raise ModelFileError(
            f"{path} is not a TFLite model: bytes 4 to 8 are {begin[4:]!r}, expected {IDENTIFIER!r}; "
            "name a file that `edgesdk convert` wrote"
        )
    try:
        entries = list_appended(file)
        listed = {entry.name: entry for entry in entries}
        if len(listed) < len(entries):
            raise ModelFileError(f"{path} holds two appended files of one name: it is damaged")
        text, entry = None, listed.get(CONTRACT_FILE.encode())
        if entry is not None:
            if entry.size is None or entry.size > LARGEST_JSON_BYTES:
                raise ModelFileError(f"{path} has a contract that is compressed or too large: it is damaged")
            text = read_appended(file, entry)
    except DamagedError as error:
        raise ModelFileError(f"{path} is damaged in its appended files ({error}): copy it again") from error
    file.seek(0)
    return file.read(min((entry.at for entry in entries), default=-1)), text


def _with_metadata(model: bytes, metadata: bytes) -> bytes:
    """Repack the flatbuffer with one more buffer that holds the metadata."""
    from ai_edge_litert import schema_py_generated as schema

    tree = unpack_model(model)
    entry = next((item for item in tree.metadata or [] if item.name == METADATA_NAME), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA_NAME, len(tree.buffers)
        tree.metadata = [*(tree.metadata or []), entry]
        tree.buffers.append(schema.BufferT())
    tree.buffers[entry.buffer].data = metadata
    return pack_model(tree)
