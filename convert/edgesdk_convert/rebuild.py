"""A saved Keras network -> the same network of plain legacy layers, on which the repairs and learning work."""

import inspect
from typing import Any

import numpy as np
import numpy.typing as npt

SPLIT = ("Conv2D", "DepthwiseConv2D", "Dense")  # whose activation becomes a layer of its own: they are repaired


def rebuild(config: Any, shape: tuple[int, ...], weights: dict[str, list[npt.NDArray[Any]]]) -> Any:
    """The network as a functional `tf_keras.Model`, or None where its layers are not plain ones of one input.

    Whether it answers the same is for the caller to compare: this function guesses from names.

    Args:
        config: of a Keras 2 or Keras 3 model: {"class_name", "config"}.
        shape: (height, width, channels).
        weights: name of a layer -> its arrays.
    """
    import tf_keras as keras

    image = keras.Input(shape)
    tensors: dict[str, Any] = {}
    last = image
    try:
        for layer in config["config"]["layers"]:
            settings = dict(layer["config"])
            name, kind = settings["name"], layer["class_name"]
            given = [tensors[source] for source in _sources(layer)] or [last]
            if kind == "InputLayer" or kind.startswith("Random"):  # augmentation rests when a network answers
                (last,) = given
            else:
                last = _apply(keras, kind, settings, given, weights.get(name, []))
            tensors[name] = last
        model = keras.Model(image, last)
        known = sum(len(arrays) for arrays in weights.values())
        return model if len(model.weights) == known else None
    except Exception:  # whatever a layer of another Keras raises here means that it is not a plain one
        return None


def ends_in_softmax(model: Any) -> bool:
    """Whether the last layer is a softmax alone, before which learning takes its loss."""
    last = model.layers[-1]
    kind = type(last).__name__
    return kind == "Softmax" or (kind == "Activation" and last.activation.__name__ == "softmax")


def _apply(keras: Any, kind: str, settings: dict[str, Any], given: list[Any], weights: list[npt.NDArray[Any]]) -> Any:
    make = getattr(keras.layers, kind)
    taken = {name for base in make.__mro__ for name in inspect.signature(base.__init__).parameters} - {"dtype"}
    plain = {name: value for name, value in settings.items() if name in taken and not isinstance(value, dict)}
    activation = plain.pop("activation", None) if kind in SPLIT else None
    made = make(**plain | {"name": settings["name"]})
    tensor = made(given[0] if len(given) == 1 else given)
    made.set_weights(weights)
    if kind == "Normalization":
        made.finalize_state()
    if activation in (None, "linear"):
        return tensor
    name = f"{settings['name']}_{activation}"
    follow = keras.layers.ReLU(name=name) if activation == "relu" else keras.layers.Activation(activation, name=name)
    return follow(tensor)


def _sources(layer: dict[str, Any]) -> list[str]:
    """Names of the layers that this one reads; [] in a Sequential model, which leaves them out.

    Raises:
        ValueError: if it is used twice, or reads another output than a layer's first.
    """
    nodes = layer.get("inbound_nodes", [])
    if not nodes:
        return []
    (node,) = nodes
    if isinstance(node, list):  # Keras 2: [[name, node, tensor, arguments], ...]
        places = [place[:3] for place in node if not place[3]]
        if len(places) != len(node):
            raise ValueError("a layer is called with arguments")
    else:  # Keras 3: {"args": [tensor or list of tensors], "kwargs"}
        (argument,) = node["args"]
        places = [item["config"]["keras_history"] for item in (argument if isinstance(argument, list) else [argument])]
    if any(place[1:] != [0, 0] for place in places):
        raise ValueError("a layer is used twice")
    return [str(place[0]) for place in places]


def same_answers(wanted: npt.NDArray[np.float32], given: npt.NDArray[np.float32]) -> bool:
    """Whether two networks answer the same, but for rounding: both float32 [n, outputs]."""
    return bool(np.abs(wanted - given).max() <= 1e-4 * max(1e-6, float(np.abs(wanted).max())))
