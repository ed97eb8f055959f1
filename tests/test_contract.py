import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesdk.contract import FORMAT, Contract, Golden, blocks_frame, encode_output, from_json
from edgesdk.converted import Converted
from edgesdk.errors import ModelFileError


def test_a_contract_survives_its_json(int8_file: Converted) -> None:
    assert from_json(int8_file.contract.to_json()) == int8_file.contract


def test_the_golden_blocks_never_change() -> None:
    """Other languages and later versions must make the very same picture."""
    assert blocks_frame(0, 32, 32)[::16, ::16].tolist() == [
        [[65, 87, 119], [39, 226, 252]],
        [[91, 56, 250], [4, 12, 59]],
    ]
    assert blocks_frame(1, 16, 16)[0, 0].tolist() == [178, 203, 141]


def test_an_output_survives_its_base64() -> None:
    values = np.array([0.25, -1e-20, 3e38], np.float32)
    assert Golden(generator="blocks", output=encode_output(values)).expected().tolist() == values.tolist()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"spec": 5}, "contract.spec"),
        ({"name": None}, "contract.name"),
        ({"input": {"height": "160", "width": 160}}, "contract.input.height"),
        ({"input": {"height": 0, "width": 160}}, "0x160"),
        ({"tolerance": {"cpu": "much"}}, "contract.tolerance.cpu"),
        ({"golden": [{"generator": "noise"}]}, "golden[0].generator"),
        ({"format": FORMAT + 1}, "upgrade edgesdk"),
        ({"measured": {"macs": True}}, "contract.measured.macs"),
        ({"output": {"labels": ["only one"]}}, "1 labels for 3 classes"),
    ],
)
def test_a_wrong_field_is_named(int8_file: Converted, change: dict[str, Any], found: str) -> None:
    data = json.loads(int8_file.contract.to_json()) | change
    with pytest.raises(ModelFileError) as caught:
        from_json(json.dumps(data))
    assert found in str(caught.value)


def test_a_missing_field_is_named(int8_file: Converted) -> None:
    data = json.loads(int8_file.contract.to_json())
    del data["measured"]
    with pytest.raises(ModelFileError, match=r"contract\.measured is missing"):
        from_json(json.dumps(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(Contract.__dataclass_fields__)), inner),
)


@given(JSON)
@settings(max_examples=200)
def test_any_other_json_is_refused_in_one_sentence(value: Any) -> None:
    with pytest.raises(ModelFileError):
        from_json(json.dumps(value))


@given(st.binary())
def test_any_bytes_are_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(ModelFileError):
        from_json(data)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ModelFileError):
        from_json("[" * 100_000)


def test_unknown_fields_of_a_later_minor_version_are_ignored(int8_file: Converted) -> None:
    data = json.loads(int8_file.contract.to_json()) | {"later": 1}
    assert from_json(json.dumps(data)) == replace(int8_file.contract)
