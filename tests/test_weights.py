import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgesdk import verbs
from edgesdk.errors import WeightsError
from edgesdk.spec import ModelSpec
from edgesdk_device.classifier import Classifier
from edgesdk_train import weights as w
from edgesdk_train.learn import build_network

SPEC = ModelSpec(width=0.25, res=32, classes=3)

#: (arch, width, res) -> the name that tf.keras.applications downloads.
NAMED = {
    ("mobilenet_v1", 0.5, 160): "mobilenet/mobilenet_5_0_160_tf.h5",
    ("mobilenet_v2", 0.35, 96): "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96.h5",
    ("mobilenet_v2", 1, 224): "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5",
    ("mobilenet_v3_small", 0.75, 224): "mobilenet_v3/weights_mobilenet_v3_small_224_0.75_float.h5",
    ("mobilenet_v3_large", 1.0, 224): "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float.h5",
    ("mobilenet_v3_small_minimalistic", 1.0, 224): (
        "mobilenet_v3/weights_mobilenet_v3_small_minimalistic_224_1.0_float.h5"
    ),
    ("mobilenet_v3_large_minimalistic", 1.0, 224): (
        "mobilenet_v3/weights_mobilenet_v3_large_minimalistic_224_1.0_float.h5"
    ),
    ("vgg16", 1.0, 224): "vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
    ("vgg19", 1.0, 224): "vgg19/vgg19_weights_tf_dim_ordering_tf_kernels.h5",
    ("resnet50", 1.0, 160): "resnet/resnet50_weights_tf_dim_ordering_tf_kernels.h5",
    ("resnet101", 0.5, 224): "resnet/resnet101_weights_tf_dim_ordering_tf_kernels.h5",
    ("resnet152", 1.0, 224): "resnet/resnet152_weights_tf_dim_ordering_tf_kernels.h5",
}


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What tf.keras.applications' own save_weights writes, random, with a head of 3 classes."""
    import tf_keras as keras

    path = tmp_path_factory.mktemp("weights") / "mobilenet.h5"
    keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, classes=3).save_weights(path)
    return path


def test_a_file_with_a_matching_head_is_loaded_whole(keras_file: Path) -> None:
    network = build_network(SPEC, str(keras_file))
    assert network.has_head
    assert network.source.trained
    assert network.source.weights.startswith("mobilenet.h5 sha256:")
    first = w.read_weights(keras_file).layers[0][1][0]
    assert np.array_equal(network.model.layers[1].get_weights()[0], first)


def test_other_classes_get_a_new_head(keras_file: Path) -> None:
    network = build_network(ModelSpec(width=0.25, res=32, classes=5), str(keras_file))
    assert not network.has_head
    assert network.model.output_shape == (None, 5)
    assert w.head_classes(w.read_weights(keras_file)) == 3


def test_a_file_without_a_head_is_loaded(tmp_path: Path) -> None:
    import tf_keras as keras

    path = tmp_path / "no_top.h5"
    keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, include_top=False).save_weights(path)
    assert w.head_classes(w.read_weights(path)) is None
    assert not build_network(SPEC, str(path)).has_head


def test_a_dense_layer_fits_the_convolution_that_computes_the_same(tmp_path: Path) -> None:
    import tf_keras as keras

    keras.utils.set_random_seed(0)
    dense = keras.Sequential([keras.layers.Flatten(input_shape=(1, 1, 4)), keras.layers.Dense(2)])
    convolution = keras.Sequential([keras.layers.Conv2D(2, 1, input_shape=(1, 1, 4))])
    dense.save_weights(tmp_path / "dense.h5")
    assert w.load_weights(convolution, w.read_weights(tmp_path / "dense.h5"))
    x = np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4)
    assert np.allclose(convolution(x).numpy().reshape(-1), dense(x).numpy().reshape(-1))
    wider = keras.Sequential([keras.layers.Conv2D(2, 1, input_shape=(1, 1, 5))])
    with pytest.raises(WeightsError, match=r"has shapes \[\(4, 2\), \(2,\)\]"):
        w.load_weights(wider, w.read_weights(tmp_path / "dense.h5"))


def test_another_width_or_network_is_named(keras_file: Path, tmp_path: Path) -> None:
    import tf_keras as keras

    with pytest.raises(WeightsError, match=r"conv1 .*another width"):
        build_network(ModelSpec(width=0.5, res=32, classes=3), str(keras_file))
    path = tmp_path / "small.h5"
    keras.Sequential([keras.layers.Dense(2, input_shape=(3,))]).save_weights(path)
    with pytest.raises(WeightsError, match="another network"):
        build_network(SPEC, str(path))


def test_wrong_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no weights")
    for name, found in (("missing.h5", "no weights file"), ("text.h5", "not a legacy Keras weights file")):
        with pytest.raises(WeightsError, match=found):
            build_network(SPEC, str(tmp_path / name))


def test_nan_and_links_are_refused(keras_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "nan.h5"
    shutil.copy(keras_file, path)
    with h5py.File(path, "r+") as file:
        file["conv1/conv1/kernel:0"][0, 0, 0, 0] = np.nan
    with pytest.raises(WeightsError, match="conv1 holds NaN"):
        w.read_weights(path)
    with h5py.File(path, "r+") as file:
        del file["conv1"]
        file["conv1"] = h5py.ExternalLink(str(keras_file), "conv1")
    with pytest.raises(WeightsError, match="links outside"):
        w.read_weights(path)


def test_weights_that_say_to_be_more_than_the_file_take_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"kernel"]
        group.create_dataset("kernel", shape=(2**33,), dtype="f4", chunks=(2**20,), compression="gzip")
    with pytest.raises(WeightsError, match="with conv it has over 1 GiB of weights"):
        w.read_weights(tmp_path / "w.h5")


def test_a_file_cut_short_is_refused(keras_file: Path, tmp_path: Path) -> None:
    (tmp_path / "short.h5").write_bytes(keras_file.read_bytes()[:20_000])
    with pytest.raises(WeightsError, match=r"short\.h5"):
        w.read_weights(tmp_path / "short.h5")


def test_the_1000_labels_are_in_order() -> None:
    labels, synsets = w.imagenet_labels()
    assert len(labels) == len(set(synsets)) == 1000
    assert list(synsets) == sorted(synsets)
    assert (labels[0], labels[281]) == ("tench, Tinca tinca", "tabby, tabby cat")


def test_imagenet_without_a_network_says_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(w, "KERAS_APPLICATIONS", "http://127.0.0.1:9/")  # nothing listens there
    with pytest.raises(WeightsError, match=r"cannot be downloaded.*--weights FILE.h5.*--weights none"):
        w.find_weights("imagenet", ModelSpec(width=0.5, res=160))
    with pytest.raises(WeightsError, match=r"mobilenet_7_5_160_tf.h5 cannot be downloaded"):  # the next wider one
        w.find_weights("imagenet", ModelSpec(width=0.6, res=160))
    for spec in (ModelSpec(width=1.2, res=160), ModelSpec(width=0.5, res=150)):
        with pytest.raises(WeightsError, match=f"no ImageNet weights are published for {spec.name}"):
            w.find_weights("imagenet", spec)


def test_the_published_names_are_those_of_keras_applications(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path))
    asked: list[str] = []

    def download(url: str, path: Path, md5: str) -> None:
        assert bool(md5) == ("resnet" in url or "vgg" in url)
        asked.append(f"{url.removeprefix(w.KERAS_APPLICATIONS)} {path.name}")

    monkeypatch.setattr(w, "_download", download)
    for arch, width, res in NAMED:
        w.find_weights("imagenet", ModelSpec(arch=arch, width=width, res=res))
    assert asked == [f"{file} {file.rpartition('/')[2]}" for file in NAMED.values()]
    for arch, width, res in (("mobilenet_v2", 1.5, 224), ("mobilenet_v2", 1.0, 100), ("vgg16", 1.0, 160)):
        with pytest.raises(WeightsError, match=rf"published for {arch}_.*expected {arch} with width"):
            w.find_weights("imagenet", ModelSpec(arch=arch, width=width, res=res))
    with pytest.raises(WeightsError, match=r"published for other: expected one of mobilenet_v1, .*--weights FILE.h5"):
        w.find_weights("imagenet", ModelSpec(arch="other"))


def test_a_download_is_checked_and_kept(keras_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A real HTTP server on this machine gives the file, then a damaged one."""
    import functools
    import http.server
    import threading

    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    site = tmp_path / "site" / "mobilenet"
    site.mkdir(parents=True)
    shutil.copy(keras_file, site / "mobilenet_2_5_128_tf.h5")
    (site / "mobilenet_2_5_160_tf.h5").write_text("an error page")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.setattr(w, "KERAS_APPLICATIONS", f"http://127.0.0.1:{server.server_port}/")
        path = w.find_weights("imagenet", ModelSpec(width=0.25, res=128))
        assert path.read_bytes() == keras_file.read_bytes()
        with pytest.raises(WeightsError, match="arrived damaged"):
            w.find_weights("imagenet", ModelSpec(width=0.25, res=160))
        name = "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
        (site.parent / "vgg16").mkdir()
        shutil.copy(keras_file, site.parent / "vgg16" / name)  # whole, but not the file whose hash Keras publishes
        with pytest.raises(WeightsError, match=rf"{name} arrived damaged"):
            w.find_weights("imagenet", ModelSpec(arch="vgg16"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert w.find_weights("imagenet", ModelSpec(width=0.25, res=128)) == path  # from the cache now


def test_published_weights_as_they_are_then_converted(shared: Path, tmp_path: Path) -> None:
    """As `edgesdk train --weights imagenet --epochs 0`, from a file."""
    weights = str(shared / "models/keras/mobilenet_v1_0.25_128_dequant.h5")
    run = verbs.train(weights=weights, width=0.25, res=128, epochs=0, out=tmp_path / "as_it_is.run")
    assert run.finished
    assert run.classes == w.imagenet_labels()[0]
    file = verbs.convert(tmp_path / "as_it_is.run", out=tmp_path / "as_it_is.tflite")
    assert file.contract.source.trained
    assert file.contract.measured.accuracy is None
    with Classifier(file.path) as classify:
        assert "cat" in classify(str(shared / "models/images/cat.png")).label
    sample = shared / "datasets/imagenet_sample"
    proved = verbs.convert(tmp_path / "as_it_is.run", data=sample, out=tmp_path / "proved.tflite").contract
    assert proved.measured.accuracy is not None
    assert proved.measured.accuracy.final > 0.38
    assert proved.source.dataset == "imagenet_sample"


def test_weights_of_unknown_classes_cannot_be_taken_as_they_are(keras_file: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="3 classes of unknown names: add --data DIR"):
        verbs.train(weights=str(keras_file), width=0.25, res=32, epochs=0, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
