"""Weight clustering: each layer's weights take few distinct values, which compress well.

S. Han et al., Deep Compression, arXiv 1510.00149, section 3: k-means over a layer's weights, then the shared values
learn on.
"""

from typing import Any

import tf_keras as keras

from edgesdk.preprocess import ImageInput
from edgesdk.quiet import import_tfmot
from edgesdk_convert.compress import Lesson
from edgesdk_convert.finetune import copied, finetune, wrapped
from edgesdk_convert.prune import prunable

EPOCHS = 8
RATE = 1e-4


def cluster(
    model: Any, clusters: int, image_input: ImageInput, lesson: Lesson, *, keep_zeros: bool, quiet: bool
) -> tuple[Any, str]:
    """A copy of a network whose large layers have few distinct weights each, and what was done in words.

    Args:
        model: a functional `tf_keras.Model`.
        clusters: distinct values in each layer.
        keep_zeros: zeros stay zero; for a network that was pruned.
    """
    tfmot = import_tfmot()
    from tensorflow_model_optimization.python.core.clustering.keras.experimental.cluster import cluster_weights

    keras.utils.set_random_seed(lesson.seed)  # the first centroids are drawn
    start = tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap(layer: Any) -> Any:
        return cluster_weights(
            layer, number_of_clusters=clusters, cluster_centroids_init=start, preserve_sparsity=keep_zeros
        )

    clustering = wrapped(model, prunable, wrap)
    count = sum(prunable(layer) for layer in model.layers)
    name = f"cluster {clusters}" + (" zeros" if keep_zeros else "")
    epochs = lesson.epochs or EPOCHS
    finetune(clustering, name, model, image_input, lesson, epochs=epochs, rate=RATE, quiet=quiet)
    words = f"clustered {count} layers to {clusters} values each" + (", zeros kept" if keep_zeros else "")
    stripped = tfmot.clustering.keras.strip_clustering(clustering)
    return copied(model, stripped.get_weights()), words
