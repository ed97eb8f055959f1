"""Another machine over OpenSSH: a real sshd on loopback, run as this user, with a host key of its own."""

import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgesdk import cli, verbs
from edgesdk.converted import Converted
from edgesdk.errors import MeasurementError
from edgesdk.measurement import Measurement, Refused
from edgesdk_device.fleet import read_fleet

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass(frozen=True, kw_only=True)
class Sshd:
    """A running server: the home folder behind it, its configuration and its process."""

    home: Path
    config: Path
    process: subprocess.Popen[bytes]

    def wait_for_job(self) -> int:
        """The process that measures there, once it is there."""
        while True:
            for path in self.home.glob(".cache/edgesdk/bench/*/pid"):
                if text := path.read_text():
                    return int(text)
            time.sleep(0.02)

    def connections(self) -> list[int]:
        """The server's processes for its open connections."""
        found = []
        for pid in _children(self.process.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sshd"):
                    found.append(pid)
        return found

    def cut(self) -> None:
        """Cut every connection a while after a measurement began."""
        self.wait_for_job()
        time.sleep(1.5)
        _kill(self.connections())

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """The server comes back for the block."""
        back = _start(self.config)
        yield
        back.terminate()
        back.wait()

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.home / ".cache/edgesdk/bench").glob("*.tflite"))


@pytest.fixture
def sshd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """A server whose users have `edgesdk` on their PATH, and a home folder of their own."""
    if not Path(SSHD).is_file() or not shutil.which("ssh-keygen"):
        pytest.skip("no sshd here: apt-get install openssh-server")
    folder, home = tmp_path / "ssh", tmp_path / "home"
    (home / ".local/bin").mkdir(parents=True)
    folder.mkdir(mode=0o700)
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    tool = home / ".local/bin/edgesdk"
    python_path = os.pathsep.join(filter(None, [*sys.path]))
    tool.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(python_path)} HOME={shlex.quote(str(home))}\n"
        f'exec {shlex.quote(sys.executable)} -m edgesdk.cli "$@"\n'
    )
    tool.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        # What is asked for runs in the home folder of this test.
        f'SetEnv HOME={home}\nForceCommand cd {home} && export HOME={home} && sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    (folder / "config").write_text(
        f"Host loop\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n IdentityFile {folder}/user\n"
        f" StrictHostKeyChecking no\n UserKnownHostsFile {folder}/known\n LogLevel ERROR\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True) if os.getuid() == 0 else None  # privilege separation of a root's sshd
    process = _start(folder / "sshd_config")
    monkeypatch.setenv("EDGESDK_SSH", f"ssh -F {folder}/config")
    yield Sshd(home=home, config=folder / "sshd_config", process=process)
    process.terminate()
    process.wait()


def test_rows_come_back_and_a_cut_connection_costs_nothing(
    sshd: Sshd, int8_file: Converted, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second time nothing is sent; its connection is cut in the middle, and the measurement runs on there."""
    command = ["bench", str(int8_file.path), "--on", "loop", "--quick", "--backend", "litert", "--threads", "1"]
    assert cli.main(command) == 0
    first = capsys.readouterr()
    assert "sent colors_int8.tflite to loop" in first.err
    assert "ms, p90" in first.out
    assert len(sshd.files()) == 1
    thread = threading.Thread(target=sshd.cut)
    thread.start()
    (row,) = verbs.bench_on([int8_file.path], "loop", backends=["litert"], threads=[1], quick=True, quiet=False)
    thread.join()
    again = capsys.readouterr()
    assert "sent" not in again.err
    assert "loop is not reached" in again.err
    assert "trying again" in again.err
    assert isinstance(row, Measurement)
    assert (row.place, row.path, row.sha256) == ("loop", str(int8_file.path), int8_file.contract.sha256)
    assert len(row.samples_ms) == row.invoke_ms.n
    assert list((sshd.home / ".cache/edgesdk/bench").glob("*/")) == []  # what was fetched is gone there


def test_a_host_that_is_gone_is_named_and_found_again(
    sshd: Sshd, int8_file: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server dies while it measures; the sentence says what to do; once it is back the rows are fetched."""
    from edgesdk_device import remote

    monkeypatch.setattr(remote, "PAUSE_S", 0.1)
    host = remote.Host(address="loop")
    digest = remote._digest(int8_file.path)
    assert remote.send(host, int8_file.path, digest)
    words = ["bench", f"{digest}.tflite", "--backend", "litert", "--threads", "1", "--quick", "--quiet"]

    def kill() -> None:
        sshd.wait_for_job()
        _kill([sshd.process.pid, *sshd.connections()])

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(MeasurementError, match=r"loop is not reached .* the same command finds it again"):
        remote.run(host, words, quiet=True)
    thread.join()
    with sshd.again():
        (row,) = remote.run(host, words, quiet=True)
    assert isinstance(row, Measurement)


def test_a_job_that_dies_there_is_told(sshd: Sshd, int8_file: Converted) -> None:
    def kill() -> None:
        pid = sshd.wait_for_job()
        _kill([*_children(pid), pid])

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(MeasurementError, match="loop stopped in the middle of measuring"):
        verbs.bench_on([int8_file.path], "loop", backends=["litert"], threads=[1], quick=True)
    thread.join()


def test_a_host_without_edgesdk_says_how_to_get_it(sshd: Sshd, int8_file: Converted) -> None:
    (sshd.home / ".local/bin/edgesdk").unlink()
    with pytest.raises(MeasurementError, match=r"loop has no edgesdk on its PATH .* pip install edgesdk into ~/\.venv"):
        verbs.bench_on([int8_file.path], "loop")


def test_no_such_host(int8_file: Converted, capsys: pytest.CaptureFixture[str]) -> None:
    if not shutil.which("ssh"):
        pytest.skip("no ssh here")
    assert cli.main(["bench", str(int8_file.path), "--on", "nobody@host.invalid", "--quick"]) == 1
    assert "nobody@host.invalid is not reached (ssh: Could not resolve" in capsys.readouterr().err
    assert cli.main(["bench", str(int8_file.path), "--on", "a", "--data", "digits"]) == 2
    assert "--data is judged on this machine only" in capsys.readouterr().err


def test_a_fleet_is_one_table_with_a_column_a_device(
    sshd: Sshd, int8_file: Converted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(
        '[devices.desk]\non = "here"\nbackends = ["litert"]\nthreads = [1]\n'
        '[devices.loop]\non = "loop"\nbackends = ["litert"]\nthreads = [1]\n'
        '[devices.attic]\non = "nobody@host.invalid"\n'
    )
    page = tmp_path / "fleet.html"
    command = ["bench", str(int8_file.path), "--fleet", str(fleet), "--quick", "--report", str(page)]
    command += ["--source", "synthetic", "--sustained", "0.01"]
    assert cli.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if line.startswith("ms, p90"))
    assert head.split()[2:] == ["desk", "loop"]
    assert any("refused: " in line and "on attic" in line and "is not reached" in line for line in lines)
    text = page.read_text()
    assert "A column a device" in text
    assert text.count("frame to label over minutes") >= 2  # here and there, of the source that was named


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no device"),
        ("[devices.a]\nof = 'x'", "devices.a has 'of', expected backends, command, on, threads"),
        ("[devices.a]\nthreads = [1]", "devices.a.on is missing"),
        ("[device.a]\non = 'x'", "it has 'device'"),
        ("[devices", "is no fleet file"),
        ("devices = 3", "is no fleet file"),
        ("devices.a = 'pi@attic'", "devices.a is 'pi@attic'"),
        ("devices.a.on = '-oProxyCommand=true'", "the host is '-oProxyCommand=true', expected USER@HOST"),
        ("devices.a = {on = 'x', backends = []}", "backends or threads is empty"),
        ("devices.a = {on = 'here', backends = ['cuda']}", "backend is 'cuda', expected auto or one of"),
        ("devices.a = {on = 'here', threads = [-1]}", "threads is -1, expected at least 1"),
    ],
)
def test_a_wrong_fleet_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    with pytest.raises(MeasurementError, match=said.replace(".", r"\.")):
        read_fleet(path)
    with pytest.raises(MeasurementError, match="cannot read the fleet"):
        read_fleet(tmp_path / "none.toml")


def _start(config: Path) -> "subprocess.Popen[bytes]":
    """A server that answers."""
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL)
    port = int(config.read_text().split()[1])
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.05)
    raise AssertionError("sshd does not listen")


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """Every process below one, the deepest last."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(path.parent.name)
            found += [child, *_children(child)]
    return found


def test_refused_rows_keep_their_place() -> None:
    row = Refused(model="m", path="p", sha256="", backend="b", threads=1, delegate="", reason="r", place="attic")
    from edgesdk.reports.report import named

    assert named(row) == "m, b, 1 thread on attic"
