"""The pages of docs/: every table is a committed result, word for word; links and options exist."""

import re
from pathlib import Path

import pytest

from edgesdk.cli import build_parser

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
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (page.name, target)


def test_the_options_of_convert_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["convert", "--help"])
    known = capsys.readouterr().out
    named = set(re.findall(r"`(--[a-z-]+)", (ROOT / "docs/convert.md").read_text()))
    assert {option for option in named if option not in known} == set()
    assert "--shrink" in named
