import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import edgesdk
from edgesdk import modelfile
from edgesdk.converted import Converted
from edgesdk.errors import ModelFileError, WriteError


def test_what_is_read_is_what_was_written(int8_file: Converted) -> None:
    file = modelfile.read(int8_file.path)
    assert file.contract == int8_file.contract
    assert file.contract is not None
    assert 0 < len(file.content) - file.contract.measured.size_bytes < 4000  # the metadata, and alignment
    with zipfile.ZipFile(int8_file.path) as archive:
        assert archive.read("labels.txt").decode().split() == ["blue", "green", "red"]
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())


def test_a_notebook_shows_no_megabytes(int8_file: Converted) -> None:
    """What a cell's last line returns is shown whole."""
    assert "content" not in repr(modelfile.read(int8_file.path))
    assert len(repr(edgesdk.inspect(int8_file.path))) < int8_file.path.stat().st_size / 10


def test_the_same_model_gives_the_same_bytes(int8_file: Converted, tmp_path: Path) -> None:
    file = modelfile.read(int8_file.path)
    modelfile.write(tmp_path / "again.tflite", file.content, int8_file.contract)
    assert (tmp_path / "again.tflite").read_bytes() == int8_file.path.read_bytes()


def test_weights_are_aligned(int8_file: Converted) -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = modelfile.read(int8_file.path).content
    model = schema.Model.GetRootAs(content, 0)
    table_offsets = [model.Buffers(i).DataAsNumpy() for i in range(model.BuffersLength())]
    whole = np.frombuffer(content, np.uint8)
    start = whole.__array_interface__["data"][0]
    addresses = [data.__array_interface__["data"][0] - start for data in table_offsets if isinstance(data, np.ndarray)]
    assert len(addresses) > 50
    assert all(address % 16 == 0 for address in addresses)


def test_every_flipped_bit_is_found(float_file: Converted, tmp_path: Path) -> None:
    """A bit of every 997th byte of the flatbuffer, and of every byte of the contract."""
    data = bytearray(float_file.path.read_bytes())
    start = len(modelfile.read(float_file.path).content)
    with zipfile.ZipFile(float_file.path) as archive:
        info = archive.getinfo("edgesdk.json")
        json_start = info.header_offset + 30 + len(info.filename)
    places = [*range(0, start, 997), *range(json_start, json_start + info.file_size, 13)]
    path = tmp_path / "flipped.tflite"
    for place in places:
        data[place] ^= 1 << (place % 8)
        path.write_bytes(data)
        with pytest.raises(ModelFileError):
            modelfile.read(path)
        data[place] ^= 1 << (place % 8)


@pytest.mark.parametrize("kept", [0, 3, 8, 1000, 0.5, 0.99, -1, -30])
def test_a_file_cut_short_is_found(int8_file: Converted, tmp_path: Path, kept: float) -> None:
    data = int8_file.path.read_bytes()
    path = tmp_path / "short.tflite"
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(ModelFileError):
        modelfile.read(path).required_contract()


def test_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("this is no model")
    with pytest.raises(ModelFileError, match="not a TFLite model"):
        modelfile.read(tmp_path / "text.tflite")
    with pytest.raises(ModelFileError, match="cannot read"):
        modelfile.read(tmp_path / "missing.tflite")
    with pytest.raises(ModelFileError, match="is a folder"):
        modelfile.read(tmp_path)


def test_a_foreign_model_has_no_contract(shared: Path) -> None:
    file = modelfile.read(shared / "models/tflite/mobilenet_v1_0.25_128_quant.tflite")
    assert file.contract is None
    with pytest.raises(ModelFileError, match="carries no edgesdk contract"):
        file.required_contract()


def test_hostile_tails_are_refused(int8_file: Converted, tmp_path: Path) -> None:
    content = modelfile.read(int8_file.path).content
    path = tmp_path / "hostile.tflite"

    def appended(members: list[tuple[str, bytes]], kind: int) -> None:
        path.write_bytes(content)
        with zipfile.ZipFile(path, "a", kind) as archive:
            for name, data in members:
                archive.writestr(name, data)

    bomb = b" " * (modelfile.LARGEST_JSON_BYTES + 1)
    appended([("edgesdk.json", bomb)], zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelFileError, match="compressed or too large"):
        modelfile.read(path)
    appended([("edgesdk.json", b"{}"), ("../../edgesdk.json", b"{}")], zipfile.ZIP_STORED)
    with pytest.raises(ModelFileError, match="missing"):
        modelfile.read(path)


def test_a_disk_that_is_full_leaves_the_old_file(int8_file: Converted, tmp_path: Path) -> None:
    """A real write error: the process may not write files over 4 kB."""
    import resource
    import signal

    target = tmp_path / "model.tflite"
    shutil.copy(int8_file.path, target)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(WriteError, match="cannot write"):
            modelfile.write(target, modelfile.read(int8_file.path).content, int8_file.contract)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert target.read_bytes() == int8_file.path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
