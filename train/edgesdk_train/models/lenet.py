"""Gradient-Based Learning Applied to Document Recognition (LeCun, Bottou, Bengio and Haffner 1998): LeNet-5.

Figure 2: convolution C1, subsampling S2, convolution C3, subsampling S4, convolution C5 (which sees all that is left of
the picture), F6, and the output layer, on a grey picture of 32x32.

The paper counts 60,000 trainable parameters, this network has 61,706 for 10 classes. The differences: subsampling is
the plain mean, without a coefficient and a bias a map (-12 in S2, -32 in S4) and without a sigmoid; C3 reads every map
of S2, not the chosen ones of Table I (+900); the output layer is learned weights and a softmax in place of fixed
radial basis functions (+850); ReLU takes the place of the scaled hyperbolic tangent, which learns slower and which
int8 renders in coarser steps. F6 and the output layer are written as the 1x1 convolutions that they are, so that int8
quantizes them channel by channel.
"""

from typing import Any

import tf_keras as keras

from edgesdk.spec import ModelSpec
from edgesdk_train.models.convnet import classify, conv_relu
from edgesdk_train.models.mobilenet_v1 import scaled

PAPER = "Gradient-Based Learning Applied to Document Recognition, Proceedings of the IEEE 86(11), 1998"


def lenet(spec: ModelSpec) -> Any:
    """LeNet-5 for `spec.width` and `spec.res`, a `tf_keras.Model`.

    Args:
        spec: width scales every layer's maps and units; at a res above the paper's 32, C5's kernel still covers all
            that S4 leaves.

    Returns:
        [batch, res, res, 1] float32 in -1..1 -> [batch, classes] probabilities.
    """
    image = keras.Input((spec.res, spec.res, 1), name="image")
    x = conv_relu(image, scaled(6, spec.width), 5, "C1", padding="valid")
    x = keras.layers.AveragePooling2D(2, name="S2")(x)
    x = conv_relu(x, scaled(16, spec.width), 5, "C3", padding="valid")
    x = keras.layers.AveragePooling2D(2, name="S4")(x)
    x = conv_relu(x, scaled(120, spec.width), x.shape[1:3], "C5", padding="valid")
    x = conv_relu(x, scaled(84, spec.width), 1, "F6", relu="features")
    return classify(image, x, spec)
