import pytest

from edgesdk.spec import ARCHITECTURES, ModelSpec


def test_one_canonical_name() -> None:
    assert ModelSpec(width=0.5, res=160).name == "mobilenet_v1_0.5_160"
    assert ModelSpec(width=1.0, res=224).name == "mobilenet_v1_1_224"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0),
        ("width", -1.0),
        ("width", float("nan")),
        ("res", 31),
        ("res", 160.5),
        ("res", True),
        ("classes", 1),
    ],
)
def test_a_field_outside_its_range_is_named(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{field} is .*expected"):
        ModelSpec(**{field: value})  # type: ignore[arg-type]


def test_the_names_that_the_command_line_lists_are_the_networks() -> None:
    from edgesdk_train.models import MODELS

    assert tuple(MODELS) == tuple(ARCHITECTURES)
