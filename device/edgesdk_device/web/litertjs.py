"""LiteRT.js, the runtime of the page: two npm packages at one exact version, checked against their hashes.

Nothing of it comes with edgesdk. `npm pack` brings it into the user's cache once; run as a module, this does so.
"""

import base64
import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from edgesdk.cache import cache_folder
from edgesdk.errors import BackendError, EdgeSDKError
from edgesdk_device.web.aside import folder_aside

VERSION = "2.5.3"
#: package -> sha512 of its archive, as npm publishes it
INTEGRITY = {
    "@litertjs/core": "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "@litertjs/wasm-utils": "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
}
BUILDS = ("", "_threaded", "_jspi", "_compat")  # of the wasm: a browser loads one or two of them
#: package -> file in its archive -> name for the page
WANTED = {
    "@litertjs/core": {"package/dist/index.js": "index.js"}
    | {
        f"package/wasm/litert_wasm{build}_internal.{kind}": f"litert_wasm{build}_internal.{kind}"
        for build in BUILDS
        for kind in ("js", "wasm")
    },
    "@litertjs/wasm-utils": {"package/dist/index.js": "wasm-utils.js"},
}
NAMES = tuple(name for names in WANTED.values() for name in names.values())
LARGEST_FILE_BYTES = 32 * 2**20
TIMEOUT_S = 300


def find_litertjs(archives: Path | str | None = None) -> Path:
    """The folder with LiteRT.js' files (`NAMES`), fetched by npm into the user's cache where it is not there yet.

    Args:
        archives: a folder with the packages as `npm pack` wrote them on another machine, instead of npm.

    Raises:
        BackendError: if a package is missing, is another one than its hash says, or npm is missing or fails.
        WriteError: if the cache cannot be written.
    """
    home = cache_folder() / f"litertjs-{VERSION}"
    # What the user names is looked at even where it is not needed: a wrong folder is told, not passed over.
    named = None if archives is None else [_archive(Path(archives), package) for package in INTEGRITY]
    if all((home / name).is_file() for name in NAMES):
        return home
    if named is not None:
        return _unpack(named, home)
    with tempfile.TemporaryDirectory() as scratch:
        _fetch(Path(scratch))
        return _unpack([_archive(Path(scratch), package) for package in INTEGRITY], home)


def archive_name(package: str) -> str:
    """What `npm pack` calls a package's archive."""
    return f"{package.removeprefix('@').replace('/', '-')}-{VERSION}.tgz"


def _fetch(folder: Path) -> None:
    wanted = [f"{package}@{VERSION}" for package in INTEGRITY]
    by_hand = f"or run `npm pack {' '.join(wanted)}` elsewhere and name the folder with --litertjs"
    npm = shutil.which("npm")
    if npm is None:
        raise BackendError(f"the page needs LiteRT.js {VERSION}, and npm is not installed: install npm, {by_hand}")
    try:
        command = [npm, "pack", "--silent", "--ignore-scripts", *wanted]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BackendError(f"npm could not fetch LiteRT.js {VERSION} ({error}): try again, {by_hand}") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise BackendError(f"npm could not fetch LiteRT.js {VERSION} ({said[:200]}): check the network, {by_hand}")


def _archive(folder: Path, package: str) -> tuple[str, bytes]:
    path = folder / archive_name(package)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BackendError(
            f"cannot read {path}: {error.strerror}; name the folder where `npm pack {package}@{VERSION}` wrote it"
        ) from error
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != INTEGRITY[package]:
        raise BackendError(f"{path} is not {package} {VERSION} as npm published it: its sha512 differs; fetch it again")
    return package, data


def _unpack(archives: list[tuple[str, bytes]], home: Path) -> Path:
    """Write the wanted files, and those worth it compressed too, as a whole folder or not at all."""
    with folder_aside(home, "make room, or set EDGESDK_CACHE") as aside:
        for package, data in archives:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
                for member, name in WANTED[package].items():
                    _write(aside / name, _read(archive, member))
    return home


def _read(archive: tarfile.TarFile, member: str) -> bytes:
    info = archive.getmember(member)
    file = archive.extractfile(info) if info.isreg() and info.size <= LARGEST_FILE_BYTES else None
    if file is None:
        raise BackendError(f"{member} in LiteRT.js' archive is no file, or too large: fetch it again")
    return file.read()


def _write(path: Path, data: bytes) -> None:
    if path.name == "index.js":  # a browser resolves no bare names
        data = data.replace(b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"')
    path.write_bytes(data)
    if path.suffix == ".wasm":
        path.with_suffix(".wasm.gz").write_bytes(gzip.compress(data, 6, mtime=0))


if __name__ == "__main__":
    try:
        print(find_litertjs())
    except EdgeSDKError as error:
        sys.exit(str(error))
