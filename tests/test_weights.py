import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from edgesdk.errors import WeightsError
from edgesdk.spec import ModelSpec
from edgesdk_train import weights as w
from edgesdk_train.learn import build_network

SPEC = ModelSpec(width=0.25, res=32, classes=3)


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
    monkeypatch.setattr(w, "KERAS_MOBILENET", "http://127.0.0.1:9/")  # nothing listens there
    with pytest.raises(WeightsError, match=r"cannot be downloaded.*--weights FILE.h5.*--weights none"):
        w.find_weights("imagenet", ModelSpec(width=0.5, res=160))
    with pytest.raises(WeightsError, match=r"mobilenet_7_5_160_tf.h5 cannot be downloaded"):  # the next wider one
        w.find_weights("imagenet", ModelSpec(width=0.6, res=160))
    for spec in (ModelSpec(width=1.2, res=160), ModelSpec(width=0.5, res=150)):
        with pytest.raises(WeightsError, match=f"no ImageNet weights are published for {spec.name}"):
            w.find_weights("imagenet", spec)


def test_a_download_is_checked_and_kept(keras_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A real HTTP server on this machine gives the file, then a damaged one."""
    import functools
    import http.server
    import threading

    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(keras_file, site / "mobilenet_2_5_128_tf.h5")
    (site / "mobilenet_2_5_160_tf.h5").write_text("an error page")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.setattr(w, "KERAS_MOBILENET", f"http://127.0.0.1:{server.server_port}/")
        path = w.find_weights("imagenet", ModelSpec(width=0.25, res=128))
        assert path.read_bytes() == keras_file.read_bytes()
        with pytest.raises(WeightsError, match="arrived damaged"):
            w.find_weights("imagenet", ModelSpec(width=0.25, res=160))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert w.find_weights("imagenet", ModelSpec(width=0.25, res=128)) == path  # from the cache now
