"""The rules of the house, held by reading the code and by importing it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = {
    name: ROOT / name.removeprefix("edgesdk_") / name for name in ("edgesdk_train", "edgesdk_convert", "edgesdk_device")
}
SOURCES["edgesdk"] = ROOT / "sdk" / "edgesdk"
FILES = [path for folder in SOURCES.values() for path in sorted(folder.rglob("*.py"))]
MAY_IMPORT = {
    "edgesdk": {"edgesdk"},
    "edgesdk_train": {"edgesdk", "edgesdk_train"},
    "edgesdk_device": {"edgesdk", "edgesdk_device"},
    "edgesdk_convert": {"edgesdk", "edgesdk_convert", "edgesdk_device", "edgesdk_train"},
}
#: The verbs span the stages: they import them inside the function that needs them.
LAZY_ROOMS = {"verbs", "commands", "grid"}


def imports(path: Path) -> list[tuple[str, bool]]:
    """(top-level package, whether the import stands at the top of the file and runs) of every import."""
    found = []

    def visit(node: ast.AST, eager: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name.split(".")[0], eager) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
                found.append((child.module.split(".")[0], eager))
            typing_only = isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"
            inner = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or typing_only
            visit(child, eager and not inner)

    visit(ast.parse(path.read_text()), True)
    return found


@pytest.mark.parametrize("package", sorted(SOURCES))
def test_who_may_import_whom(package: str) -> None:
    for path in sorted(SOURCES[package].rglob("*.py")):
        for name, eager in imports(path):
            if name.startswith("edgesdk") and name not in MAY_IMPORT[package]:
                room = path.relative_to(SOURCES[package]).parts[0]
                assert package == "edgesdk" and room in {*LAZY_ROOMS, "__init__.py"}, f"{path} imports {name}"
                assert not eager, f"{path} imports {name} when it is imported"


def test_the_device_side_never_names_tensorflow() -> None:
    for path in SOURCES["edgesdk_device"].rglob("*.py"):
        assert not {name for name, _ in imports(path)} & {"tensorflow", "tf_keras", "keras", "torch"}, path


def test_opencv_and_tensorflow_are_lazy_in_the_sdk() -> None:
    for path in SOURCES["edgesdk"].rglob("*.py"):
        eager = {name for name, eager in imports(path) if eager}
        assert not eager & {"cv2", "tensorflow", "tf_keras", "rich", "jinja2", "sklearn", "flatbuffers"}, path


def test_no_file_has_two_jobs() -> None:
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 400]
    assert not [path for path in FILES if path.name in ("utils.py", "helpers.py", "common.py", "misc.py")]


def blocked(code: str, *modules: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process where these modules cannot be imported."""
    head = "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in modules)
    return subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, check=False)


def test_the_device_side_works_without_tensorflow(int8_file, photos: Path) -> None:  # type: ignore[no-untyped-def]
    photo = next(photos.rglob("*.png"))
    code = (
        "import edgesdk, edgesdk_device.classifier, edgesdk_device.cameras, edgesdk_device.bench, edgesdk_device.app\n"
        f"with edgesdk.Classifier({str(int8_file.path)!r}) as classify: print(classify({str(photo)!r}).label)\n"
        f"assert edgesdk.verify({str(int8_file.path)!r}).ok\n"
        f"assert edgesdk.inspect({str(int8_file.path)!r}).graph.macs\n"
    )
    done = blocked(code, "tensorflow", "tf_keras", "keras", "torch", "sklearn", "rich", "jinja2", "matplotlib", "h5py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() in ("blue", "green", "red")


@pytest.mark.parametrize("package", ["edgesdk", "edgesdk_device"])
def test_any_module_may_be_imported_first(package: str) -> None:
    """As a worker of a cluster does that unpacks a function: no circle of imports stands in its way."""
    files = [
        path.relative_to(SOURCES[package].parent).with_suffix("") for path in sorted(SOURCES[package].rglob("*.py"))
    ]
    names = [".".join(path.parts).removesuffix(".__init__") for path in files if path.name != "__main__"]
    code = (
        "import importlib\n"
        f"for name in {names}:\n"
        "    for known in [known for known in sys.modules if known.partition('.')[0].startswith('edgesdk')]:\n"
        "        del sys.modules[known]\n"
        "    importlib.import_module(name)"
    )
    done = blocked(code)
    assert done.returncode == 0, done.stderr


def test_importing_edgesdk_loads_nothing_heavy() -> None:
    code = "import edgesdk\nprint(sorted({'numpy', 'cv2', 'tensorflow', 'ai_edge_litert'} & set(sys.modules)))"
    assert blocked(code).stdout.strip() == "[]"


def test_a_first_label_loads_nothing_that_it_does_not_need(int8_file, photos: Path) -> None:  # type: ignore[no-untyped-def]
    """A device would wait for each of these at every start."""
    photo = next(photos.rglob("*.png"))
    unneeded = {"asyncio", "concurrent", "importlib.metadata", "logging", "shutil", "subprocess", "tempfile", "zipfile"}
    unneeded |= {
        "edgesdk.verbs",
        "edgesdk.reports",
        "edgesdk.photos",
        "edgesdk_device.cameras",
        "edgesdk_device.stream",
    }
    code = (
        "import edgesdk\n"
        f"edgesdk.Classifier({str(int8_file.path)!r})({str(photo)!r})\n"
        f"print(sorted({unneeded} & set(sys.modules)))"
    )
    blocked(code)  # the first start on a machine measures
    assert blocked(code).stdout.strip() == "[]"


def test_a_missing_extra_is_one_sentence() -> None:
    code = "from edgesdk import cli\nsys.exit(cli.main(['convert', '--width', '0.5', '--res', '160']))"
    done = blocked(code, "tensorflow", "sklearn")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("pip install 'edgesdk[train]'")
    assert "Traceback" not in done.stderr


def test_every_name_of_the_public_surface_exists() -> None:
    import edgesdk

    for name in edgesdk.__all__:
        assert getattr(edgesdk, name) is not None
    assert set(edgesdk.__all__) <= set(dir(edgesdk))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = edgesdk.nothing


@pytest.mark.parametrize("role", ["device", "app", "phone", "report", "all"])
def test_the_locks_hold_what_the_tests_passed_with(role: str) -> None:
    """Every locked version has hashes and is the tested one; `make locks` writes them."""
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text().lower(), re.MULTILINE))
    tested = {name.replace("_", "-").replace(".", "-"): version for name, version in pinned.items()}
    entries = re.split(r"\n(?=\w)", (ROOT / "locks" / f"{role}.txt").read_text().split("make locks\n", 1)[1])
    assert len(entries) >= 8
    for entry in entries:
        name, version = re.match(r"([\w.-]+)==([\w.]+)", entry).groups()  # type: ignore[union-attr]
        assert "--hash=sha256:" in entry, name
        assert tested.get(name, version) == version or name == "numpy", name  # one for Python 3.11, one for later
