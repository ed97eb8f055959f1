"""The pages of docs/: every table is a committed result, word for word; links, options and settings exist."""

import re
from pathlib import Path

import pytest

from edgesdk.cli import build_parser
from edgesdk_device.app import read_app

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TABLE = re.compile(r"<!-- table: (\S+) -->\n(.*?)<!-- end -->", re.DOTALL)
TABLES = [(page.name, *found) for page in PAGES for found in TABLE.findall(page.read_text())]


@pytest.mark.parametrize(("page", "name", "text"), TABLES, ids=[f"{page}-{name}" for page, name, _ in TABLES])
def test_a_table_is_a_committed_result(page: str, name: str, text: str) -> None:
    results = [path.read_text() for path in (ROOT / "benchmarks/results").glob(f"*/{name}.md")] or [
        "Not measured yet.\n"
    ]
    assert text in results, f"docs/{page}: run benchmarks/docs.py"


def test_links_lead_somewhere() -> None:
    for page in (*PAGES, *ROOT.glob("*.md"), ROOT / "benchmarks/README.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)


def test_every_page_is_named_by_what_it_is_for() -> None:
    index = (ROOT / "docs/README.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"({name})" not in index} == set()


def test_the_app_file_of_the_docs_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/device.md").read_text(), re.DOTALL)
    (tmp_path / "app.toml").write_text(text)
    settings = read_app(tmp_path / "app.toml")
    assert (settings.serve, settings.decisions.cooldown_of("cat")) == ("0.0.0.0:8000", 60)


def test_the_options_of_convert_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["convert", "--help"])
    known = capsys.readouterr().out
    named = set(re.findall(r"`(--[a-z-]+)", (ROOT / "docs/convert.md").read_text()))
    assert {option for option in named if option not in known} == set()
    assert "--shrink" in named
