"""A network camera that is killed and started again on the same port, while the app runs as users run it."""

import signal
from pathlib import Path

import pytest

from apps import StartApp, lines_of, until
from edgesdk.converted import Converted
from servers import HttpCamera, RtspCamera, frames


def camera(scheme: str, folder: Path, port: int = 0) -> HttpCamera | RtspCamera:
    return HttpCamera(frames(fps=10), port=port) if scheme == "http" else RtspCamera(folder, port=port, fps=10)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_camera_that_is_restarted_stands_in_the_events(
    scheme: str, start_app: StartApp, int8_file: Converted, tmp_path: Path
) -> None:
    events, settings = tmp_path / "e.jsonl", tmp_path / "app.toml"
    settings.write_text("[capture]\nstall_s = 3\nbackoff_s = 0.1\nlongest_backoff_s = 0.2\n")

    def kinds() -> list[str]:
        return [line["event"] for line in lines_of(events)] if events.exists() else []

    with camera(scheme, tmp_path) as first:
        app = start_app(int8_file, "--source", first.url, "--app", str(settings), "--events", str(events), "--quiet")
        until(lambda: "frame" in kinds(), 60)
    until(lambda: "lost" in kinds())
    with camera(scheme, tmp_path, first.port):
        until(lambda: "recovered" in kinds() and kinds()[-1] == "frame")
        app.send_signal(signal.SIGTERM)
        _, errors = app.communicate(timeout=30)
    assert (app.returncode, errors) == (0, "")
    happened = [kind for kind in kinds() if kind in ("lost", "stalled", "recovered")]
    assert happened == ["lost", "recovered"]
