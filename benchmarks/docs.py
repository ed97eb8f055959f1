"""Puts this machine's tables where the docs say so: between `<!-- table: NAME -->` and `<!-- end -->`.

python benchmarks/docs.py
"""

import re
from pathlib import Path

from results import board_folder

from edgesdk.atomic import write_text

MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    folder = board_folder()

    def filled(found: re.Match[str]) -> str:
        path = folder / f"{found[2]}.md"
        return f"{found[1]}{path.read_text()}{found[3]}" if path.is_file() else found[0]

    for page in sorted((Path(__file__).parents[1] / "docs").rglob("*.md")):
        write_text(page, MARKED.sub(filled, page.read_text()))


if __name__ == "__main__":
    main()
