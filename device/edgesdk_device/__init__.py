"""What runs on the device: runtimes, cameras, the classifier, measurements. Never imports TensorFlow."""
