"""`edgesdk compress`, `edgesdk decompress`, and what `edgesdk train` says of a codec."""

import argparse
import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from edgesdk.commands.options import Add, refuse
from edgesdk.commands.phone import show_page
from edgesdk.commands.printing import print_json, print_next
from edgesdk.progress import remark
from edgesdk.spec import DEFAULT_ARCH

if TYPE_CHECKING:
    from edgesdk_device.app import AppSettings


#: What `train` may be told of a codec.
TRAINING = ("--arch", "--camera", "--init-from", "--res", "--steps", "--seed", "--resume", "--out")


def add_commands(add: Add) -> None:
    """The two commands' options."""
    command = add(compress, "photos -> a codec's streams", "edgesdk compress photos/ --quality 40 -o small/")
    command.add_argument("sources", metavar="PHOTO", nargs="+", help="photos, folders or patterns")
    command.add_argument("--codec", default="photo", metavar="C", help="photo (default), thumbnail or a codec's folder")
    aim = command.add_mutually_exclusive_group()
    aim.add_argument("--quality", type=int, default=50, metavar="Q", help="1 to 100 (default 50)")
    aim.add_argument("--target-bytes", type=int, metavar="N", help="the best quality of at most N bytes a photo")
    aim.add_argument("--psnr", type=float, metavar="DB", help="the lowest quality of at least so many dB")
    _add_rest(command)

    command = add(decompress, "a codec's streams -> PNG", "edgesdk decompress small/ -o back/")
    command.add_argument("sources", metavar="STREAM", nargs="+", help="streams, folders or patterns")
    command.add_argument("--codec", metavar="C", help="default: the one that comes with edgesdk and made the stream")
    _add_rest(command)


def add_training(command: argparse.ArgumentParser) -> None:
    """What `edgesdk train` takes for a codec beside its other options."""
    group = command.add_argument_group("codecs", "--arch compressor, for photos of any size, or thumbnail, for 64x64")
    group.add_argument("--camera", type=Path, metavar="VIDEO", help="compressor: for one fixed camera, from its video")
    group.add_argument("--steps", type=int, default=0, metavar="N", help="of learning (default: by kind)")


def add_recording(command: argparse.ArgumentParser) -> None:
    """What `edgesdk run` takes for a codec beside its other options."""
    command.add_argument(
        "--compress",
        type=Path,
        metavar="OUT",
        help="FILE is a codec: write its session of the source; with --serve a page decodes and shows it",
    )
    command.add_argument("--quality", type=int, default=50, metavar="Q", help="of --compress, 1 to 100 (default 50)")


def record(options: argparse.Namespace, settings: "AppSettings") -> int:
    """`edgesdk run CODEC --compress OUT`, and with `--serve` the same frames for the page."""
    from edgesdk_device.recording import record as recorded

    count = total = 0
    with contextlib.ExitStack() as opened:
        live = None
        if settings.serve is not None:
            from edgesdk_device.web.live import LiveServer

            server = opened.enter_context(LiveServer(options.file, settings.serve, viewers=settings.viewers))
            live = server.take
            show_page(server.address)
        for one in recorded(
            options.file,
            options.compress,
            source=settings.source,
            quality=options.quality,
            frames=options.frames,
            events=settings.events,
            capture=settings.capture,
            live=live,
            backend=settings.backend,
            threads=settings.threads or 1,
        ):
            count, total = count + 1, total + one.size_bytes
            if options.json:
                print(json.dumps(one.to_json()), flush=True)
            else:
                print(f"frame {one.frame}: {one.size_bytes} bytes, activity {one.activity:.2f}", flush=True)
    remark(f"{count} frames, {total} bytes in {options.compress}", quiet=options.quiet)
    return 0


def compress(options: argparse.Namespace) -> int:
    """`edgesdk compress`."""
    from edgesdk.verbs import codec as codecverbs

    rows = []
    for done in codecverbs.compress(
        options.sources,
        codec=options.codec,
        quality=options.quality,
        target_bytes=options.target_bytes,
        psnr=options.psnr,
        out=options.out,
        backend=options.backend,
        threads=options.threads,
    ):
        rows.append(asdict(done) | {"source": str(done.source), "path": str(done.path)})
        if not options.json:
            found = "" if done.psnr_db is None else f", {done.psnr_db:.1f} dB"
            print(
                f"{done.path}: {done.size_bytes} bytes, {done.bits_per_pixel:.3f} bit/pixel, quality {done.quality}"
                f"{found}",
                flush=True,
            )
    if options.json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    return 0


def decompress(options: argparse.Namespace) -> int:
    """`edgesdk decompress`."""
    from edgesdk.verbs import codec as codecverbs

    paths = []
    for path in codecverbs.decompress(
        options.sources, codec=options.codec, out=options.out, backend=options.backend, threads=options.threads
    ):
        paths.append(str(path))
        if not options.json:
            print(path, flush=True)
    if options.json:
        print(json.dumps(paths, indent=1, ensure_ascii=False))
    return 0


def train(options: argparse.Namespace) -> int:
    """`edgesdk train --arch compressor`, `--arch thumbnail` and `--camera`."""
    from edgesdk.verbs import codec as codecverbs

    refuse(options, lambda word: word not in TRAINING, "a codec")
    done = codecverbs.train_codec(
        options.data or "",
        arch="compressor" if options.arch == DEFAULT_ARCH else options.arch,
        camera=options.camera,
        init_from=options.init_from,
        res=options.res or 0,
        steps=options.steps,
        seed=options.seed,
        resume=options.resume,
        out=options.out,
        quiet=options.quiet,
    )
    if options.json:
        return print_json(asdict(done) | {"path": str(done.path)})
    for row in done.history[-2:]:
        print(
            f"{done.path}: {row['bits_per_pixel']:.3f} bit/pixel at {row['psnr_db']:.1f} dB on held-out pictures "
            f"(contrast {row['gain']:g})"
        )
    print_next(("compress", "PHOTO", "--codec", done.path))
    return 0


def _add_rest(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="default: beside each file")
    command.add_argument("--backend", default="auto", metavar="B", help="auto, litert or tflite-runtime (default auto)")
    command.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default 1)")
