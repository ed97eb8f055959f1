"""What a network learns on its way to a file: fewer weights, fewer distinct weights, weights that stand int8.

Each step starts from the one before and keeps what that achieved: clustering and quantization-aware training after
pruning keep the zeros, quantization-aware training after clustering keeps the clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesdk.errors import ConversionError
from edgesdk.photos.data import Images
from edgesdk.preprocess import ImageInput
from edgesdk.recipe import Recipe
from edgesdk_convert.network import Network, from_keras


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What a step learns on.

    Attributes:
        train, val: photos; the best epoch is the one with the lowest loss on `val`.
        folder: where what was learned is kept, so that the next call takes it from there.
        batch, seed, flip: as in `Learning`.
        epochs: of each step; 0: each step's own number.
    """

    train: Images
    val: Images
    folder: Path
    batch: int = 32
    seed: int = 0
    flip: bool = True
    epochs: int = 0


def compress(
    network: Network,
    recipe: Recipe,
    image_input: ImageInput,
    lesson: Callable[[], Lesson] | None,
    *,
    quiet: bool,
) -> tuple[Network, Recipe]:
    """Shrink, prune and cluster as the recipe asks.

    Returns:
        The float network that came out, and the recipe with what was done in words.

    Raises:
        ConversionError: if the network's layers are not known, or there is nothing to learn on.
    """
    options = {"--shrink": recipe.shrink, "--prune": recipe.prune, "--cluster": recipe.cluster, "--qat": recipe.qat}
    asked = " and ".join(name for name, wanted in options.items() if wanted)
    if network.layers is None:
        raise ConversionError(
            f"{asked} must learn again, which works with run folders of `edgesdk train` and Keras classifiers of plain "
            "layers with a softmax at the end: train the network here, or leave it out"
        )
    if lesson is None:
        raise ConversionError(f"{asked} must learn again: add --data DIR with photos of the network's classes")
    model, steps = network.layers, recipe.steps
    if recipe.shrink is not None:
        from edgesdk_convert.finetune import lesson_folder
        from edgesdk_train.shrink import shrink

        taught = lesson()
        folder = lesson_folder(f"shrink {recipe.shrink:g}", model, image_input, taught)
        shrunk = shrink(
            model,
            recipe.shrink,
            taught.train,
            taught.val,
            image_input,
            folder,
            seed=taught.seed,
            batch=taught.batch,
            flip=taught.flip,
            quiet=quiet,
        )
        model = shrunk.model
        before, after = shrunk.macs_before / 1e6, shrunk.macs_after / 1e6
        steps = (*steps, f"shrunk from {before:.1f} to {after:.1f} M multiply-adds")
    if recipe.prune:
        from edgesdk_convert.prune import prune

        model, words = prune(model, recipe.prune, image_input, lesson(), quiet=quiet)
        steps = (*steps, words)
    if recipe.cluster:
        from edgesdk_convert.cluster import cluster

        model, words = cluster(model, recipe.cluster, image_input, lesson(), keep_zeros=recipe.prune > 0, quiet=quiet)
        steps = (*steps, words)
    learned = network if model is network.layers else from_keras(model, image_input)
    return learned, replace(recipe, steps=steps)


def learn_quantized(
    recipe: Recipe, image_input: ImageInput, lesson: Callable[[], Lesson] | None, *, quiet: bool
) -> Callable[[Any], Any] | None:
    """The function model -> model of quantization-aware training; None where there is nothing to learn on."""
    if lesson is None:
        return None

    def learn(model: Any) -> Any:
        from edgesdk_convert.qat import train_quantized

        return train_quantized(
            model,
            image_input,
            lesson(),
            keep_zeros=recipe.prune > 0,
            keep_clusters=recipe.cluster > 0,
            quiet=quiet,
        )

    return learn
