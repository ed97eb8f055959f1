"""What a user sees while long work goes on, always on stderr: a bar, and remarks."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(title: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int, str], None]]:
    """Show a bar on stderr while the block runs, where stderr is a terminal and rich is installed.

    Args:
        title: what is being done, such as "learning".
        total: how many steps make the whole.
        quiet: show nothing.

    Yields:
        `advance(steps, note)`: moves the bar on and shows a short note, such as the present loss.
    """
    try:
        if quiet or not sys.stderr.isatty():
            raise ImportError
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:  # the bar is a comfort: without it the work is the same
        yield lambda steps, note: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, note="")
        yield lambda steps, note: bar.update(task, advance=steps, note=note)


def remark(text: str, *, quiet: bool) -> None:
    """Say one thing in passing."""
    if not quiet:
        print(f"edgesdk: {text}", file=sys.stderr, flush=True)
