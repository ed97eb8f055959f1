"""Going Deeper with Convolutions (Szegedy et al. 2014): GoogLeNet.

Table 1: a stem, nine inception modules, average pooling, dropout of 40 % and one fully connected layer. An inception
module (Figure 2b) looks at its input in four ways and puts the answers side by side: 1x1, 3x3 and 5x5 convolutions,
the larger ones on fewer channels, and pooling. While it learns, two small networks classify what the modules 4a and 4d
give (section 5); they are parts of no file.

Differences: without the local response normalization around the stem's convolutions, which would stay a float island in
an int8 file; the linear layer is the 1x1 convolution that it is; weights start as in arXiv 1502.01852. Table 1 counts
2.7 K weights for the first convolution, whose 7x7x3x64 are 9.4 K, and is off by up to 8 % in some modules.

`googlenet_a` has the course's own block in place of the modules: four branches of 96 channels, the 5x5 replaced by two
3x3. That is Figure 4 of Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning (Szegedy et
al. 2016, arXiv 1602.07261), with the batch-norm of that paper, and without auxiliary classifiers, which batch-norm
makes needless.
"""

from collections.abc import Callable
from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.convnet import classify, conv_relu, dropout
from edgesdk_train.models.mobilenet_v1 import batch_norm, scaled

PAPER = "Going Deeper with Convolutions, arXiv 1409.4842"

#: module -> channels of 1x1, 3x3's reduction, 3x3, 5x5's reduction, 5x5 and the pooling's projection, Table 1.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOLED_AFTER = ("3b", "4e")
AUXILIARY_AFTER = ("4a", "4d")


def googlenet(spec: ModelSpec) -> Any:
    """GoogLeNet, see `build_googlenet`."""
    return build_googlenet(spec, lambda x, name: _inception(x, spec.width, name), conv_relu)


def googlenet_a(spec: ModelSpec) -> Any:
    """GoogLeNet of the course's blocks, see `build_googlenet`."""
    return build_googlenet(spec, lambda x, name: _inception_a(x, spec.width, name), _conv_norm_relu)


def build_googlenet(spec: ModelSpec, module: Callable[[Any, str], Any], conv: Callable[..., Any]) -> Any:
    """GoogLeNet for `spec.width` and `spec.res`, a `tf_keras.Model`.

    Args:
        spec: width scales every layer; res the input.
        module: (tensor, name) -> the tensor after a module.
        conv: a convolution of the stem with its activation, as `conv_relu`.

    Returns:
        [batch, res, res, 3] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = keras.Input((spec.res, spec.res, 3), name="image")
    x = conv(image, scaled(64, spec.width), 7, "conv1", strides=2)
    x = _pool(x, "pool1")
    x = conv(x, scaled(64, spec.width), 1, "conv2_reduce")
    x = conv(x, scaled(192, spec.width), 3, "conv2")
    x = _pool(x, "pool2")
    for name in MODULES:
        x = module(x, f"inception_{name}")
        if name in POOLED_AFTER:
            x = _pool(x, f"pool{name[0]}")
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool5")(x)
    return classify(image, dropout(x, 0.4, "features"), spec)


def with_auxiliaries(model: Any) -> Any:
    """What learns in place of `model`, a GoogLeNet: the same layers, and two classifiers more.

    Section 5: average pooling 5x5 with stride 3, a 1x1 convolution of 128 channels, 1024 units, dropout of 70 %. Where
    small pictures leave less than 5x5, the pooling covers what there is.

    Returns:
        image -> [probabilities, logits of 4a, logits of 4d], each [batch, classes].
    """
    classes = model.output_shape[-1]
    width = model.get_layer("conv1").filters / 64
    logits = []
    for module in AUXILIARY_AFTER:
        name, x = f"auxiliary_{module}", model.get_layer(f"inception_{module}").output
        size = min(5, x.shape[1])
        x = keras.layers.AveragePooling2D(size, strides=3, name=f"{name}_pool")(x)
        x = conv_relu(x, scaled(128, width), 1, f"{name}_conv")
        x = conv_relu(x, scaled(1024, width), x.shape[1:3], f"{name}_fc", padding="valid")
        x = keras.layers.Conv2D(classes, 1, name=f"{name}_logits")(dropout(x, 0.7, f"{name}_drop"))
        logits.append(keras.layers.Flatten(name=f"{name}_flat")(x))
    return keras.Model(model.input, [model.output, *logits], name=model.name)


def _inception(x: Any, width: float, name: str) -> Any:
    """Figure 2b with the channels of Table 1."""
    one, reduce3, three, reduce5, five, projection = (
        scaled(channels, width) for channels in MODULES[name.removeprefix("inception_")]
    )
    branches = [
        conv_relu(x, one, 1, f"{name}_1x1"),
        conv_relu(conv_relu(x, reduce3, 1, f"{name}_3x3_reduce"), three, 3, f"{name}_3x3"),
        conv_relu(conv_relu(x, reduce5, 1, f"{name}_5x5_reduce"), five, 5, f"{name}_5x5"),
    ]
    pooled = keras.layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    branches.append(conv_relu(pooled, projection, 1, f"{name}_projection"))
    return keras.layers.Concatenate(name=name)(branches)


def _inception_a(x: Any, width: float, name: str) -> Any:
    """Figure 4 of arXiv 1602.07261: four branches of 96 channels."""
    reduced, wide = scaled(64, width), scaled(96, width)
    three = _conv_norm_relu(x, reduced, 1, f"{name}_3x3_reduce")
    five = _conv_norm_relu(x, reduced, 1, f"{name}_5x5_reduce")
    five = _conv_norm_relu(five, wide, 3, f"{name}_5x5_first")
    pooled = keras.layers.AveragePooling2D(3, strides=1, padding="same", name=f"{name}_pool")(x)
    branches = [
        _conv_norm_relu(x, wide, 1, f"{name}_1x1"),
        _conv_norm_relu(three, wide, 3, f"{name}_3x3"),
        _conv_norm_relu(five, wide, 3, f"{name}_5x5_second"),
        _conv_norm_relu(pooled, wide, 1, f"{name}_projection"),
    ]
    return keras.layers.Concatenate(name=name)(branches)


def _conv_norm_relu(x: Any, channels: int, kernel: int, name: str, *, strides: int = 1) -> Any:
    x = keras.layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False, name=name)(x)
    return keras.layers.ReLU(name=f"{name}_relu")(batch_norm(x, name))


def _pool(x: Any, name: str) -> Any:
    return keras.layers.MaxPooling2D(3, strides=2, padding="same", name=name)(x)
