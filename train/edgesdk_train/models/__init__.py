"""The networks, one paper a file. Every builder takes a `ModelSpec` and returns a legacy-Keras model that has

- an input of [batch, res, res, channels] float32, already mapped by the preprocessing,
- a layer `features`, the input of the last layer with weights, `logits`,
- probabilities [batch, classes] as its only output.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edgesdk.progress import remark
from edgesdk.spec import ModelSpec
from edgesdk_train.models import (
    alexnet,
    autoencoder,
    convnet,
    dcgan,
    gan,
    googlenet,
    lenet,
    mobilenet_v1,
    mobilenet_v2,
    mobilenet_v3,
    resnet,
    vae,
    vgg,
)

__all__ = ["MODELS", "Architecture", "architecture", "build_model", "outline_model", "remark_channels"]

BATCH_NORM_RATE = 3e-3
# VGG-16 0.125-32 on digits, 12 epochs: 0.935 at 3e-3 (at chance for two of them), 0.992 at 1e-3, 0.980 at 5e-4.
PLAIN_RATE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network's builder and the paper it follows.

    Attributes:
        rate: Adam's largest learning rate where it learns from random weights.
        learner: model -> what learns in its place: the same layers and auxiliary classifiers, whose outputs come after
            the probabilities; None where there are none.
    """

    build: Callable[[ModelSpec], Any]
    paper: str
    rate: float = BATCH_NORM_RATE
    learner: Callable[[Any], Any] | None = None


MODELS: dict[str, Architecture] = {
    "mobilenet_v1": Architecture(build=mobilenet_v1.mobilenet_v1, paper=mobilenet_v1.PAPER),
    "mobilenet_v2": Architecture(build=mobilenet_v2.mobilenet_v2, paper=mobilenet_v2.PAPER),
    "mobilenet_v3_small": Architecture(build=mobilenet_v3.mobilenet_v3_small, paper=mobilenet_v3.PAPER),
    "mobilenet_v3_large": Architecture(build=mobilenet_v3.mobilenet_v3_large, paper=mobilenet_v3.PAPER),
    "mobilenet_v3_small_minimalistic": Architecture(
        build=mobilenet_v3.mobilenet_v3_small_minimalistic, paper=mobilenet_v3.PAPER
    ),
    "mobilenet_v3_large_minimalistic": Architecture(
        build=mobilenet_v3.mobilenet_v3_large_minimalistic, paper=mobilenet_v3.PAPER
    ),
    "convnet": Architecture(build=convnet.convnet, paper=convnet.PAPER, rate=PLAIN_RATE),
    "lenet": Architecture(build=lenet.lenet, paper=lenet.PAPER, rate=PLAIN_RATE),
    "alexnet": Architecture(build=alexnet.alexnet, paper=alexnet.PAPER, rate=PLAIN_RATE),
    "alexnet_lrn": Architecture(build=alexnet.alexnet_lrn, paper=alexnet.PAPER, rate=PLAIN_RATE),
    "alexnet_one_tower": Architecture(build=alexnet.alexnet_one_tower, paper=alexnet.PAPER, rate=PLAIN_RATE),
    "vgg11": Architecture(build=vgg.vgg11, paper=vgg.PAPER, rate=PLAIN_RATE),
    "vgg11_lrn": Architecture(build=vgg.vgg11_lrn, paper=vgg.PAPER, rate=PLAIN_RATE),
    "vgg13": Architecture(build=vgg.vgg13, paper=vgg.PAPER, rate=PLAIN_RATE),
    "vgg16_c": Architecture(build=vgg.vgg16_c, paper=vgg.PAPER, rate=PLAIN_RATE),
    "vgg16": Architecture(build=vgg.vgg16, paper=vgg.PAPER, rate=PLAIN_RATE),
    "vgg19": Architecture(build=vgg.vgg19, paper=vgg.PAPER, rate=PLAIN_RATE),
    "googlenet": Architecture(
        build=googlenet.googlenet, paper=googlenet.PAPER, rate=PLAIN_RATE, learner=googlenet.with_auxiliaries
    ),
    "googlenet_a": Architecture(build=googlenet.googlenet_a, paper=googlenet.PAPER),
    "resnet18": Architecture(build=resnet.resnet18, paper=resnet.PAPER),
    "resnet34": Architecture(build=resnet.resnet34, paper=resnet.PAPER),
    "resnet38": Architecture(build=resnet.resnet38, paper=resnet.PAPER),
    "resnet50": Architecture(build=resnet.resnet50, paper=resnet.PAPER),
    "resnet101": Architecture(build=resnet.resnet101, paper=resnet.PAPER),
    "resnet152": Architecture(build=resnet.resnet152, paper=resnet.PAPER),
    # Of the networks that generate, the classifier that their encoder or discriminator becomes.
    "autoencoder": Architecture(build=autoencoder.autoencoder, paper=autoencoder.PAPER, rate=PLAIN_RATE),
    "autoencoder_dense": Architecture(build=autoencoder.autoencoder_dense, paper=autoencoder.PAPER, rate=PLAIN_RATE),
    "vae": Architecture(build=vae.vae, paper=vae.PAPER, rate=PLAIN_RATE),
    "gan": Architecture(build=gan.gan, paper=gan.PAPER, rate=PLAIN_RATE),
    "dcgan": Architecture(build=dcgan.dcgan, paper=dcgan.PAPER, rate=PLAIN_RATE),
}


def architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        ValueError: if there is none.
    """
    if name not in MODELS:
        raise ValueError(f"arch is {name!r}, expected one of {', '.join(MODELS)}")
    return MODELS[name]


def build_model(spec: ModelSpec) -> Any:
    """The network of `spec` with random weights, a `tf_keras.Model`; raises ValueError as `architecture`."""
    return architecture(spec.arch).build(spec)


def outline_model(spec: ModelSpec) -> Any:
    """The network of `spec` for its layers and shapes alone: no weights are made, so that VGG costs no memory."""
    import warnings

    import tensorflow as tf
    import tf_keras as keras

    with tf.Graph().as_default(), warnings.catch_warnings():  # variables of a graph that never runs are never filled
        warnings.simplefilter("ignore")
        keras.backend.set_learning_phase(0)  # of this graph alone; else each batch-norm is built twice
        return build_model(spec)


def remark_channels(spec: ModelSpec, *, quiet: bool) -> None:
    """Say which channels a network really has where its width rounds them to a tenth more or less than it says."""
    if spec.width == 1 or quiet:
        return
    whole, scaled = (
        {layer.name: layer.filters for layer in outline_model(item).layers if getattr(layer, "filters", None)}
        for item in (replace(spec, width=1.0), spec)
    )
    del scaled["logits"]
    rounded = [
        f"{name} {channels} for {spec.width * whole[name]:.3g}"
        for name, channels in scaled.items()
        if channels != whole[name]  # some layers keep theirs at any width
        and abs(channels - spec.width * whole[name]) > 0.1 * spec.width * whole[name]
    ]
    if rounded:
        shown = ", ".join(rounded[:4]) + (", ..." if len(rounded) > 4 else "")
        remark(
            f"width {spec.width:g} of {spec.arch} rounds the channels of {len(rounded)} of its {len(scaled)} "
            f"convolutions: {shown}; other widths may give the same network",
            quiet=quiet,
        )
