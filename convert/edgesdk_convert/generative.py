"""An encoder, a decoder or a generator -> one proved .tflite of its own."""

from pathlib import Path

import numpy as np

from edgesdk.contract import Output
from edgesdk.converted import Converted
from edgesdk.generation import CODE_MEAN, CODE_STD, Generated, code_input
from edgesdk.photos.data import Dataset, split_dataset
from edgesdk.preprocess import Pixels
from edgesdk.recipe import Recipe
from edgesdk.runfolder import Learning
from edgesdk_convert.convert import convert_model
from edgesdk_convert.evidence import Evidence, gather_evidence
from edgesdk_convert.load import load_network
from edgesdk_convert.network import from_keras

CALIBRATION_CODES, JUDGED_CODES = 200, 64


def convert_part(
    path: Path, run: Generated, recipe: Recipe, dataset: Dataset, out: Path, *, quiet: bool = True
) -> Converted:
    """Convert one part of a run that generates, and prove it.

    An encoder is calibrated and judged on the pictures it learned and on test pictures, what takes codes on codes from
    a unit Gaussian: the signal to noise of its pictures against the float network's stands in the contract.

    Args:
        path: encoder.keras, decoder.keras or generator.keras.
        run: whose part it is.
        dataset: of the run.
        out: the file's final name.

    Raises:
        EdgeSDKError: see `convert_model`; RunError if the part is missing or damaged.
    """
    part = path.stem
    network = load_network(path)
    if part == "encoder":
        shown, output = run.input, Output(kind="latent")
        evidence = gather_evidence(
            split_dataset(dataset), run.input, Learning(), out.parent, labelled=False, quiet=quiet
        )
    else:
        shown = code_input(run.generation.latent)
        output = Output(kind="image", mean=run.input.mean, std=run.input.std)
        codes = draw_code_bytes(run.generation.seed, CALIBRATION_CODES + JUDGED_CODES, run.generation.latent)
        evidence = Evidence(calibration=codes[:CALIBRATION_CODES], test=codes[CALIBRATION_CODES:])
    return convert_model(
        from_keras(network, shown),
        spec=run.spec,
        image_input=shown,
        output=output,
        source=run.source,
        recipe=recipe,
        evidence=evidence,
        out=out,
        name=f"{run.spec.name} {part}",
        quiet=quiet,
    )


def draw_code_bytes(seed: int, n: int, latent: int) -> Pixels:
    """Codes from a unit Gaussian as a decoder's bytes, uint8 [n, 1, 1, latent]."""
    drawn = np.random.default_rng([seed, 2]).standard_normal((n, 1, 1, latent))
    codes: Pixels = np.clip(np.rint(drawn * CODE_STD + CODE_MEAN), 0, 255).astype(np.uint8)
    return codes
