"""Keras models and how they learn. Importing it loads TensorFlow, quietly."""

from edgesdk.quiet import import_tensorflow

import_tensorflow()
