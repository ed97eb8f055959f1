from typing import Any

import pytest

from edgesdk.recipe import RECIPES, Recipe, accurate, fast, tiny
from edgesdk.verbs.conversion import _recipe


def test_named_recipes_are_what_their_help_says() -> None:
    assert tiny() == Recipe(precision="int8", io="uint8", prune=0.8)
    assert fast() == Recipe(precision="int8", io="uint8", shrink=0.5)
    assert accurate() == Recipe(precision="int8", io="uint8", max_drop=0.5)
    assert {name: make.__name__ for name, make in RECIPES.items()} == {name: name for name in RECIPES}


def test_what_is_said_beside_a_recipe_comes_first() -> None:
    assert _recipe(None, {}) == Recipe(precision="int8", io="uint8")
    assert _recipe("tiny", {"prune": 0.5, "io": "int8"}) == Recipe(precision="int8", io="int8", prune=0.5)
    assert _recipe("accurate", {"precision": "float16"}) == Recipe(precision="float16", max_drop=0.5)
    assert _recipe(Recipe(cluster=8), {"max_drop": None}) == Recipe(cluster=8)
    with pytest.raises(ValueError, match="recipe is 'huge', expected one of tiny, fast, accurate"):
        _recipe("huge", {})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"io": "uint8"}, "io is 'uint8' for a float32 model"),
        ({"qat": True}, "quantization-aware training makes int8 files, but the precision is float32"),
        ({"shrink": 1.0}, "shrink is 1.0, expected the share of multiply-adds to keep"),
        ({"prune": 80}, "prune is 80, expected a share of zeros from 0 to below 1"),
        ({"cluster": 1}, "cluster is 1, expected 2 to 256"),
        ({"max_drop": -1.0}, "max_drop is -1.0, expected points"),
        ({"precision": "int4"}, "precision is 'int4', expected one of float32, float16, dynamic, int8, int16x8"),
    ],
)
def test_contradictions_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**fields)


def test_which_recipes_learn() -> None:
    assert not Recipe(max_drop=1.0).learns
    assert all(recipe.learns for recipe in (Recipe(prune=0.5), Recipe(cluster=4), Recipe(shrink=0.5)))
