"""Networks that generate: they learn, resume, ship as proved files, and are of use."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgesdk import cli, modelfile, verbs
from edgesdk.contract import normal_bytes
from edgesdk.errors import DataError, ModelFileError, RunError
from edgesdk.generation import Generated, Generation, Problem, code_input, read_generated
from edgesdk.photos.data import read_dataset
from edgesdk.preprocess import fit_frame, read_photo
from edgesdk.runfolder import read_run
from edgesdk.verbs import generative as generativeverbs

SMALL: dict[str, Any] = {"width": 0.25, "res": 16, "latent": 3}


def train(folder: Path, arch: str, **settings: Any) -> Generated:
    return generativeverbs.train_generative("digits", arch=arch, out=folder, **(SMALL | settings))


@pytest.fixture(scope="module")
def vae_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE that saw the digits twenty times."""
    folder = tmp_path_factory.mktemp("vae") / "vae.run"
    train(folder, "vae", epochs=20, batch=32)
    return folder


@pytest.fixture(scope="module")
def gan_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DCGAN that saw the digits a few times."""
    folder = tmp_path_factory.mktemp("gan") / "dcgan.run"
    train(folder, "dcgan", epochs=3)
    return folder


@pytest.fixture(scope="module")
def files(vae_run: Path, gan_run: Path) -> dict[str, Path]:
    """The int8 files of both."""
    made = [
        *generativeverbs.convert_generative(vae_run, out=vae_run.parent),
        *generativeverbs.convert_generative(gan_run, out=gan_run.parent),
    ]
    return {one.path.stem.split("_")[1]: one.path for one in made}


def history(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("arch", ["autoencoder", "vae", "gan", "dcgan"])
def test_resumed_learning_is_the_uninterrupted_one(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgesdk_train import generative, generativeloop

    whole = train(tmp_path / "whole.run", arch, epochs=2)
    cut = generativeloop.learn_epochs
    monkeypatch.setattr(
        generative,
        "learn_epochs",
        lambda learner, generation, *rest, **said: (
            cut(learner, replace(generation, epochs=1), *rest, **said) and _interrupt()
        ),
    )
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut.run", arch, epochs=2)
    monkeypatch.undo()
    assert not read_generated(tmp_path / "cut.run").finished
    with pytest.raises(RunError, match="unfinished run: continue it with --resume"):
        train(tmp_path / "cut.run", arch, epochs=2)
    resumed = train(tmp_path / "cut.run", arch, epochs=2, resume=True)
    assert resumed.results == whole.results
    assert history(tmp_path / "cut.run") == history(tmp_path / "whole.run")
    assert not (tmp_path / "cut.run" / "checkpoint.npz").exists()


def _interrupt() -> None:
    raise KeyboardInterrupt


def test_a_vae_learns_and_draws_what_it_learned(vae_run: Path) -> None:
    rows, run = history(vae_run), read_generated(vae_run)
    assert len(rows) == 20
    assert rows[-1]["loss"] < 0.8 * rows[0]["loss"]
    assert rows[-1]["loss"] == pytest.approx(rows[-1]["generation"] + rows[-1]["kl"], rel=1e-4)
    assert run.results["test_psnr_db"] > rows[0]["val_psnr_db"] + 2
    for name in ("samples.png", "reconstructions.png", "latent_map.png", "learning_curve.png"):
        picture = cv2.imread(str(vae_run / name))
        assert picture is not None
        assert np.ptp(picture) > 100, name
    assert cv2.imread(str(vae_run / "samples.png")).shape == (8 * 50 + 2, 8 * 50 + 2, 3)
    report = (vae_run / "report.html").read_text()
    assert report.count("data:image/png;base64,") == 4
    assert f"{run.results['test_psnr_db']:.4g}" in report


def test_the_map_shows_any_number_of_entries(tmp_path: Path) -> None:
    from edgesdk_train.pictures import write_latent_map

    codes = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    labels = np.arange(60, dtype=np.int32) % 3
    for latent in (1, 2, 3, 5):
        write_latent_map(tmp_path / f"{latent}.png", codes[:, :latent], labels, ("a", "b", "c"))
        assert np.ptp(cv2.imread(str(tmp_path / f"{latent}.png"))) > 100
    write_latent_map(tmp_path / "unlabelled.png", codes, labels * 0, ())
    assert (tmp_path / "unlabelled.png").is_file()


def test_a_grid_keeps_every_pixel() -> None:
    from edgesdk_train.pictures import grid

    pixels = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4, 1)
    sheet = grid(pixels, 2)
    side = 56
    assert sheet.shape == (2 * (side + 2) + 2, 2 * (side + 2) + 2)
    assert np.array_equal(sheet[2 : 2 + side : 14, 2 : 2 + side : 14], pixels[0, ..., 0])
    assert np.array_equal(sheet[4 + side : 4 + 2 * side : 14, 2 : 2 + side : 14], pixels[2, ..., 0])


def test_encoder_decoder_and_generator_are_proved_files(files: dict[str, Path]) -> None:
    assert sorted(files) == ["decoder", "encoder", "generator"]
    for part, path in files.items():
        contract = modelfile.read(path).required_contract()
        assert contract.output.kind == ("latent" if part == "encoder" else "image")
        assert [ran.ok for ran in contract.ran] == [True] * len(contract.ran)
        assert contract.measured.signal_to_noise_db is not None
        assert contract.measured.signal_to_noise_db > 20
        assert verbs.verify(path, backend="litert", threads=1).ok
        assert verbs.bench([path], backends=["litert"], threads=[1], quick=True)[0].max_difference == 0  # type: ignore[union-attr]


def test_the_device_gives_what_keras_gives(vae_run: Path, files: dict[str, Path]) -> None:
    import edgesdk
    from edgesdk_train.savedmodels import load_model

    run = read_generated(vae_run)
    photo = next(item.path for item in read_dataset("digits").photos if item.split == "test")
    pixels = fit_frame(read_photo(photo), run.input)
    with (
        edgesdk.Encoder(files["encoder"], backend="litert", threads=1) as encode,
        edgesdk.Generator(files["decoder"], backend="litert", threads=1) as make,
    ):
        code = encode(photo)
        back = make(code)
        assert make.latent == 3
        with pytest.raises(ValueError, match="the code has 2 entries, expected 3"):
            make([0.0, 1.0])
    value = (pixels[None].astype(np.float32) - 128) / 128
    wanted = load_model(vae_run / "encoder.keras")(value).numpy().reshape(-1)
    assert np.abs(code - wanted).max() < 0.15
    picture = load_model(vae_run / "decoder.keras")(wanted.reshape(1, 1, 1, 3)).numpy()[0, ..., 0] * 128 + 128
    assert back.shape == (16, 16)
    assert np.abs(back - picture).mean() < 8
    with pytest.raises(ModelFileError, match="makes no pictures of codes"):
        edgesdk.Generator(files["encoder"])
    with pytest.raises(ModelFileError, match="is no encoder"):
        edgesdk.Encoder(files["decoder"])


def test_a_code_can_be_made_again_in_any_language() -> None:
    code = normal_bytes(0, 1, 1, 4096).astype(int)
    assert code.mean() == pytest.approx(128, abs=2)
    assert code.std() == pytest.approx(32, rel=0.05)
    assert np.array_equal(normal_bytes(0, 1, 1, 5)[0, 0], code[0, 0, :5])
    assert code_input(4).shape == (1, 1, 4)
    with pytest.raises(ValueError, match="takes a code, not a frame"):
        fit_frame(np.zeros((8, 8, 3), np.uint8), code_input(4))


def test_a_run_and_its_file_make_pictures(vae_run: Path, files: dict[str, Path], tmp_path: Path) -> None:
    for index, model in enumerate((vae_run, files["decoder"])):
        folder = generativeverbs.generate(model, count=3, seed=4, out=tmp_path / str(index))
        pictures = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in sorted(folder.iterdir())]
        assert [picture.shape for picture in pictures] == [(16, 16)] * 3
        assert not np.array_equal(pictures[0], pictures[1])
    with pytest.raises(RunError, match="is no run of"):
        generativeverbs.generate(tmp_path, count=1)


def test_a_classifier_begins_with_an_encoder_or_a_discriminator(vae_run: Path, gan_run: Path, tmp_path: Path) -> None:
    for folder in (vae_run, gan_run):
        out = tmp_path / folder.stem
        done = verbs.train("digits", init_from=folder, epochs=1, out=out)
        assert done.spec.arch == folder.stem
        assert done.source.weights.startswith("body.h5 sha256:")
        assert done.top1 is not None
        assert done.top1 > 0.5
    with pytest.raises(ValueError, match=r"width is 0\.5, .* learned vae_0\.25_16: leave --width out"):
        verbs.train("digits", init_from=vae_run, width=0.5, out=tmp_path / "other")
    with pytest.raises(ValueError, match="leave out one of them"):
        verbs.train("digits", init_from=vae_run, weights="imagenet", out=tmp_path / "other")


def test_a_gans_features_judge_a_vaes_pictures(gan_run: Path, vae_run: Path, tmp_path: Path) -> None:
    done = train(tmp_path / "vae.run", "vae", epochs=3, features_of=gan_run)
    assert done.generation.features_of == str(gan_run)
    rows = history(tmp_path / "vae.run")
    assert rows[-1]["generation"] < rows[0]["generation"]
    with pytest.raises(RunError, match="expected a gan or dcgan"):
        train(tmp_path / "other.run", "vae", epochs=1, features_of=vae_run)
    with pytest.raises(ValueError, match="--features-of is for vae"):
        train(tmp_path / "another.run", "gan", epochs=1, features_of=gan_run)


def test_a_discriminator_learns_from_few_labels(tmp_path: Path) -> None:
    done = train(tmp_path / "gan.run", "gan", epochs=20, labels=20)
    assert done.results["test_top1"] > 0.6
    inner = read_run(tmp_path / "gan.run" / "classifier")
    assert inner.top1 == done.results["test_top1"]
    made = verbs.convert(tmp_path / "gan.run" / "classifier", quantize="float32", out=tmp_path / "c.tflite")
    accuracy = made.contract.measured.accuracy
    assert accuracy is not None
    assert accuracy.final == pytest.approx(done.results["test_top1"], abs=0.01)
    with pytest.raises(ValueError, match="--labels is for gan and dcgan"):
        train(tmp_path / "vae.run", "vae", epochs=1, labels=5)


def test_augmentation_is_measured(vae_run: Path, tmp_path: Path) -> None:
    done = generativeverbs.augment(vae_run, "digits", arch="gan", labels=5, count=10, epochs=4, out=tmp_path / "out")
    assert done.n == 355  # the digits to test on
    assert 0.3 < done.top1_without < 1
    assert 0.3 < done.top1_with < 1
    pictures = sorted((tmp_path / "out" / "generated").rglob("*.png"))
    assert len(pictures) == 10 * 10
    assert cv2.imread(str(pictures[0]), cv2.IMREAD_UNCHANGED).shape == (16, 16)
    without, with_ = (read_run(tmp_path / "out" / f"{name}.run").learning.epochs for name in ("without", "with"))
    assert (without, with_) == (4 * (40 + 100) // 40, 4)  # both see as many pictures
    with pytest.raises(RunError, match=r"exists: name another folder"):
        generativeverbs.augment(vae_run, "digits", out=tmp_path / "out")


def test_the_watch_is_silent_of_a_healthy_gan() -> None:
    assert watch_all([healthy(epoch) for epoch in range(1, 31)]) == []


@pytest.mark.parametrize(
    ("name", "sick"),
    [
        ("mode collapse", {"diversity": 0.1}),
        ("vanishing generator gradient", {"generator_gradient": 0.01}),
        ("imbalance", {"real_right": 1.0, "fake_right": 0.99}),
        ("imbalance", {"fake_right": 0.02}),
        ("non-convergence", {"change": 0.9}),
        ("sensitivity", {"largest_gradient": 80.0}),
        ("sensitivity", {"generator_loss": float("nan")}),
    ],
)
def test_the_watch_names_what_it_sees(name: str, sick: dict[str, float]) -> None:
    rows = [healthy(epoch) | (sick if epoch > 15 else {}) for epoch in range(1, 31)]
    found = watch_all(rows)
    assert found[0].name == name
    assert 16 <= found[0].epoch <= 24
    assert found[0].evidence
    assert found[0].remedy
    assert len({problem.name for problem in found}) == len(found)


def test_a_gan_that_lost_its_balance_is_told_so(tmp_path: Path) -> None:
    """A discriminator that learns a hundred times faster than the generator wins."""
    from edgesdk.preprocess import input_of
    from edgesdk.spec import make_spec
    from edgesdk_train.adversarial import Adversarial
    from edgesdk_train.generativeloop import learn_epochs

    pixels = np.random.default_rng(0).integers(0, 256, (256, 16, 16, 1), np.uint8)
    spec, generation = make_spec("gan", 0.25, 16), Generation(epochs=12, batch=32, latent=4)
    learner = Adversarial(spec, generation, input_of(spec), rates=(2e-3, 2e-5))
    rows = learn_epochs(
        learner, generation, pixels, pixels, input_of(spec), tmp_path, title="gan", resume=False, quiet=True
    )
    assert "imbalance" in {problem.name for problem in watch_all(list(rows))}


def healthy(epoch: int) -> dict[str, float]:
    return {
        "epoch": float(epoch),
        "discriminator_loss": 1.2,
        "generator_loss": 0.9 + 0.1 * (epoch % 2),
        "real_right": 0.7,
        "fake_right": 0.75,
        "generator_gradient": 0.8,
        "diversity": 0.95,
        "change": 0.3,
        "largest_gradient": 3.0,
    }


def watch_all(rows: list[dict[str, float]]) -> list[Problem]:
    from edgesdk_train.ganwatch import watch

    problems: list[Problem] = []
    for count in range(1, len(rows) + 1):
        problems += watch(rows[:count], problems)
    return problems


def test_what_cannot_be_is_one_sentence(tmp_path: Path, vae_run: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    cv2.imwrite(str(alone / "one.png"), np.zeros((28, 28), np.uint8))
    with pytest.raises(DataError, match="alone has 1 different picture, which gan would learn by heart: expected"):
        generativeverbs.train_generative(alone, arch="gan", out=tmp_path / "g.run")
    with pytest.raises(ValueError, match=r"res is 30, vae halves it twice .* such as 28 or 32"):
        train(tmp_path / "v.run", "vae", res=30, epochs=1)
    with pytest.raises(ValueError, match="res is 4, expected 8 to"):
        train(tmp_path / "v.run", "vae", res=4)
    with pytest.raises(ValueError, match="latent is 0, expected 1 to 512"):
        train(tmp_path / "v.run", "vae", latent=0)
    with pytest.raises(ValueError, match="arch is 'lenet', expected one of autoencoder"):
        train(tmp_path / "v.run", "lenet")
    with pytest.raises(RunError, match="whose pictures have no classes"):
        generativeverbs.augment(_finished_gan(tmp_path / "f.run"), "digits", out=tmp_path / "a")
    with pytest.raises(RunError, match="convert it with convert_generative"):
        verbs.convert(vae_run)


def _finished_gan(folder: Path) -> Path:
    train(folder, "gan", epochs=1)
    return folder


def test_photos_without_classes_will_do(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for index in range(48):
        cv2.imwrite(str(photos / f"{index}.png"), rng.integers(0, 256, (20, 24, 3), np.uint8))
    done = generativeverbs.train_generative(photos, arch="autoencoder", out=tmp_path / "a.run", epochs=1, **SMALL)
    assert done.classes == ()
    assert (tmp_path / "a.run" / "latent_map.png").is_file()


def test_the_command_line_trains_converts_and_generates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--width", "0.25", "--res", "16", "--epochs", "1"]
    assert cli.main(["train", "digits", "--arch", "autoencoder_dense", "--latent", "2", *small, "-o", "a.run"]) == 0
    assert "next: edgesdk convert a.run" in capsys.readouterr().out
    assert cli.main(["convert", "a.run", "--quantize", "float32", "--json"]) == 0
    assert [Path(one["path"]).name for one in json.loads(capsys.readouterr().out)] == [
        "a_encoder_float32.tflite",
        "a_decoder_float32.tflite",
    ]
    assert cli.main(["generate", "a.run", "-n", "2", "-o", "made"]) == 0
    assert len(list(Path("made").iterdir())) == 2
    assert cli.main(["convert", "a.run", "--prune", "0.5", "--no-repair"]) == 2
    assert "--prune and --no-repair: not for a run that generates pictures" in capsys.readouterr().err
    assert cli.main(["train", "--arch", "vae"]) == 2
    assert "no DATA for vae to learn from" in capsys.readouterr().err


def test_a_run_that_failed_before_it_learned_does_not_take_its_folder(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="res is 29, vae halves it twice"):
            generativeverbs.train_generative("digits", arch="vae", res=29, out=tmp_path / "run")
