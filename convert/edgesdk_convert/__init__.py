"""A trained network -> a proved .tflite. Importing it loads no TensorFlow; `convert_model` does."""
