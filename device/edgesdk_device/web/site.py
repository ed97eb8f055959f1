"""What the page is made of, and the same as a folder for any web server."""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from edgesdk import __version__, modelfile
from edgesdk.errors import ModelFileError, WriteError
from edgesdk.modelfile import ModelFile
from edgesdk_device.codec import DECODER_FILE, find_codec, shipped_codecs
from edgesdk_device.web import litertjs
from edgesdk_device.web.aside import folder_aside

PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'"
)
SITE_FILE = "site.json"
SHARED = ("theme.css", "icon.svg")  # with the camera's page
COMMENT = re.compile(rb"^[ \t]*(?://.*|/\*\*(?:(?!\*/)[\s\S])*\*/[ \t]*)\n", re.MULTILINE)
INDENT = re.compile(rb"^[ \t]+", re.MULTILINE)
MARK = "index.html"  # a folder that holds it, and SITE_FILE, was made by us


def page_files() -> dict[str, bytes]:
    """The page's own files by name, without the runtime and the models; scripts without comments and indents."""
    own, cameras = files("edgesdk_device.web") / "page", files("edgesdk_device.app") / "page"
    items = [item for item in own.iterdir() if item.is_file()] + [cameras / name for name in SHARED]
    return {item.name: _lean(item.read_bytes()) if item.name.endswith(".js") else item.read_bytes() for item in items}


def read_models(paths: Sequence[Path | str]) -> list[ModelFile]:
    """The files that a page shows.

    Args:
        paths: of files; a codec's folder or name stands for its decoder.

    Raises:
        ModelFileError: if one is missing, damaged or carries no contract.
    """
    models = [modelfile.read(_decoder_of(path)) for path in paths]
    for model in models:
        model.required_contract()
    return models


def describe(models: Sequence[ModelFile], workstation: dict[str, object] | None) -> dict[str, object]:
    """What the page is told: `workstation` is None for a static site, which sends nothing to anybody."""
    return {
        "edgesdk": __version__,
        "litertjs": litertjs.VERSION,
        "workstation": workstation,
        "models": [
            {"name": _name_of(model), "url": f"models/{index}.tflite", "size_bytes": model.path.stat().st_size}
            for index, model in enumerate(models)
        ],
    }


def build_site(paths: Sequence[Path | str], out: Path | str, *, archives: Path | str | None = None) -> Path:
    """Write the static site: the page, LiteRT.js and the files; see `edgesdk.build_site`."""
    models, out = read_models(paths), Path(out)
    if out.exists() and not ((out / MARK).is_file() and (out / SITE_FILE).is_file()) and _holds_something(out):
        raise WriteError(f"{out} exists and is no site of edgesdk: name a new folder")
    runtime = litertjs.find_litertjs(archives)
    with folder_aside(out, "name a folder that can be written and has room") as aside:
        for name, data in page_files().items():
            (aside / name).write_bytes(data)
        (aside / "litertjs").mkdir()
        for name in litertjs.NAMES:
            shutil.copyfile(runtime / name, aside / "litertjs" / name)
        (aside / "models").mkdir()
        for index, model in enumerate(models):
            shutil.copyfile(model.path, aside / "models" / f"{index}.tflite")
        told = describe(models, None) | {"cached": [name for name in page_files() if name != "sw.js"]}
        told["version"] = _fingerprint(aside, told)
        (aside / SITE_FILE).write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
    return out


def _lean(script: bytes) -> bytes:
    """Without the lines that are comments, and without indents: a phone reads neither."""
    return INDENT.sub(b"", COMMENT.sub(b"", script))


def _decoder_of(path: Path | str) -> Path:
    there, shipped = Path(path).exists(), shipped_codecs()
    if not there and str(path) not in shipped:
        raise ModelFileError(
            f"there is no {path}, expected a .tflite, a codec's folder, or one of {', '.join(shipped)}"
        )
    return Path(path) if there and not Path(path).is_dir() else find_codec(path) / DECODER_FILE


def _name_of(model: ModelFile) -> str:
    """What a user calls it: every codec's decoder has the same file name."""
    return model.path.parent.stem if model.path.name == DECODER_FILE else model.path.stem


def _holds_something(path: Path) -> bool:
    return not path.is_dir() or any(path.iterdir())


def _fingerprint(folder: Path, told: dict[str, object]) -> str:
    """A name for this very content and what is told of it: a browser that kept another one fetches it anew."""
    digest = hashlib.sha256(json.dumps(told).encode())
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
