"""The workstation's side of the phone's page, asked as a phone, and as somebody who means harm."""

import base64
import errno
import hashlib
import http.client
import io
import json
import os
import shutil
import ssl
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest

import edgesdk
from edgesdk import cli
from edgesdk.converted import Converted
from edgesdk.errors import BackendError, ModelFileError, WriteError
from edgesdk.measurement import Measurement, Refused
from edgesdk_device.web import gate, litertjs, phone, site

FIGURES: dict[str, Any] = {
    "load_ms": 5.0,
    "first_invoke_ms": 2.0,
    "warmup_ms": 3.0,
    "max_difference": 0.0,
    "operations": 31,
    "accelerated": False,
    "turns": 7,
    "invoke_ms": [1.0, 2.0, 3.0],
    "blocks": [1, 2],
    "yardstick_ms": [0.1, 0.1],
    "frame_ms": [2.0, 3.0],
    "age": {"prepare": 0.5, "invoke": 1.0, "post": 0.1},
    "paced": {"fps": 29.9, "frame_ms": [2.0], "age": {"prepare": 0.5, "invoke": 1.0, "post": 0.1}, "dropped": 0},
    "sustained": [{"end_s": 60.0, "frame_ms": [2.0, 2.5]}],
}
BROWSER = {"agent": "A browser 1.0", "cores": 8, "memory_gb": 4, "gpu": "", "isolated": True}
POSTED: dict[str, Any] = {
    "model": 0,
    "backend": "wasm",
    "threads": 2,
    "browser": BROWSER,
    "refused": "",
    "runs": FIGURES,
}


@pytest.fixture
def server(litertjs_names: Path, int8_file: Converted, tmp_path: Path) -> Iterator[phone.PhoneServer]:
    with edgesdk.phone([int8_file.path], serve="127.0.0.1:0", collect=tmp_path / "photos") as server:
        yield server


class Phone:
    """A browser of few words: one request a connection, with the cookie that it got."""

    def __init__(self, server: phone.PhoneServer, *, join: bool = True) -> None:
        self.port, self.cookie = server._port, ""
        if join:
            status, headers, _ = self.ask("GET", "/" + server.address.rpartition("/")[2])
            assert status == 303 and headers["Location"] == "/"
            assert "HttpOnly" in headers["Set-Cookie"] and "Secure" in headers["Set-Cookie"]
            self.cookie = headers["Set-Cookie"].partition(";")[0]

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        line = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)
        data = json.dumps(body) if isinstance(body, dict | list) else body
        line.request(method, path, data, {"Cookie": self.cookie, **headers})
        answer = line.getresponse()
        content = answer.read()
        line.close()
        return answer.status, answer.headers, content


def photo(height: int = 40, width: int = 60) -> bytes:
    return cv2.imencode(".png", np.full((height, width, 3), 90, np.uint8))[1].tobytes()


def test_a_phone_gets_the_page_and_what_it_needs(server: phone.PhoneServer, int8_file: Converted) -> None:
    me = Phone(server)
    status, headers, page = me.ask("GET", "/")
    assert status == 200 and b"main.js" in page
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    told = json.loads(me.ask("GET", "/site.json")[2])
    assert told["workstation"] == {"collect": True, "task": None}
    assert me.ask("GET", f"/{told['models'][0]['url']}")[2] == int8_file.path.read_bytes()
    assert me.ask("GET", "/litertjs/index.js")[2] == b"index.js"
    for name, content in site.page_files().items():
        assert me.ask("GET", f"/{name}")[2] == content
    assert sum(map(len, site.page_files().values())) <= 100_000  # what a phone loads beside the runtime
    assert site.PAGE_POLICY in page.decode()  # a static host sends no headers: the page says it itself


def test_each_address_lets_one_phone_in(server: phone.PhoneServer) -> None:
    first_address = server.address
    Phone(server)
    assert server.address != first_address
    stranger = Phone(server, join=False)
    status, _, said = stranger.ask("GET", "/" + first_address.rpartition("/")[2])
    assert status == 401 and b"used already" in said
    for path in ("/", "/?token=", "/?token=guess", "/site.json", "/models/0.tflite", "/litertjs/index.js", "/none"):
        status, headers, said = stranger.ask("GET", path)
        assert status == 401 and b"Scan the code" in said and "Set-Cookie" not in headers
    assert stranger.ask("POST", "/measured", POSTED)[0] == 401
    for _ in range(gate.MOST_PHONES - 1):
        Phone(server)
    assert Phone(server, join=False).ask("GET", "/" + server.address.rpartition("/")[2])[0] == 503


def test_figures_become_a_row(server: phone.PhoneServer, int8_file: Converted) -> None:
    me = Phone(server)
    assert me.ask("POST", "/measured", POSTED)[0] == 200
    refused = {**POSTED, "backend": "webgpu", "runs": None, "refused": "WebGPU computes something else."}
    assert me.ask("POST", "/measured", refused)[0] == 200
    joined, one, other = (next(server.happenings()) for _ in range(3))
    assert (joined.kind, joined.phone) == ("joined", "phone 1")
    row = one.row
    assert isinstance(row, Measurement) and isinstance(other.row, Refused)
    assert (row.backend, row.threads, row.place, row.invoke_ms.p50) == ("litertjs-wasm", 2, "phone 1", 2.0)
    assert row.sha256 == int8_file.contract.sha256 and row.board == "A browser 1.0, 8 cores, 4 GB of memory or more"
    assert row.delegated_nodes is None and row.sustained[0].frame_ms.p50 == 2.25
    assert other.row.reason == "WebGPU computes something else."


@pytest.mark.parametrize(
    "change",
    [
        {"model": 1},
        {"model": -2},
        {"backend": "cpu"},
        {"threads": 0},
        {"threads": 1.5},
        {"runs": None},
        {"refused": "both"},
        {"refused": "x" * 500, "runs": None},
        {"browser": {**BROWSER, "agent": "line\nbreak"}},
        {"runs": {**FIGURES, "invoke_ms": []}},
        {"runs": {**FIGURES, "invoke_ms": [1, 2, -3]}},
        {"runs": {**FIGURES, "load_ms": 1e300}},
        {"runs": {**FIGURES, "blocks": [3, 0]}},
        {"runs": {**FIGURES, "blocks": [2, 2]}},
        {"runs": {**FIGURES, "paced": None}},
    ],
)
def test_figures_that_cannot_be_are_refused(server: phone.PhoneServer, change: dict[str, Any]) -> None:
    status, _, said = Phone(server).ask("POST", "/measured", {**POSTED, **change})
    assert status == 400 and json.loads(said)["error"].startswith("this is no measurement")


def test_hostile_posts_change_nothing(server: phone.PhoneServer, tmp_path: Path) -> None:
    me = Phone(server)
    assert me.ask("POST", "/measured", "[" * 100_000)[0] == 400
    assert me.ask("POST", "/measured", b"\xff\xfe")[0] == 400
    assert me.ask("POST", "/measured", b" " * (phone.LARGEST_POST + 1))[0] == 413
    assert me.ask("POST", "/measured", POSTED, Origin="https://elsewhere.example")[0] == 403
    for label in ("..%2Fup", "%2Fetc", "a%00b", ".hidden", "", "train", "x" * 200):
        assert me.ask("POST", f"/save?label={label}", photo())[0] == 400
    bomb = bytearray(photo())
    bomb[16:24] = (60_000).to_bytes(4) * 2  # says that it is 3.6 gigapixels
    for body in (b"", b"GIF89a", photo()[:60], bytes(bomb), b"\xff\xd8\xff\xe0\x00\x10", photo(8, 5000)):
        assert me.ask("POST", "/save?label=car", body)[0] == 400, body[:20]
    assert me.ask("GET", "/models/..%2F..%2Fetc%2Fpasswd")[0] == 404
    assert not (tmp_path / "photos").exists()
    assert me.ask("POST", "/save?label=car", photo())[0] == 200
    assert [path.parent.name for path in (tmp_path / "photos").rglob("*.jpg")] == ["car"]


def test_without_a_folder_nothing_is_saved(litertjs_names: Path, int8_file: Converted) -> None:
    with edgesdk.phone([int8_file.path], serve="127.0.0.1:0") as server:
        status, _, said = Phone(server).ask("POST", "/save?label=car", photo())
    assert status == 409 and b"--collect" in said


def test_bench_ends_when_the_phone_is_done_or_gone(
    litertjs_names: Path, int8_file: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    with phone.PhoneServer([int8_file.path], address="127.0.0.1:0", task=phone.Task(quick=True)) as server:
        me = Phone(server)
        assert json.loads(me.ask("GET", "/site.json")[2])["workstation"]["task"]["backends"] == ["wasm", "webgpu"]
        me.ask("POST", "/measured", POSTED)
        me.ask("POST", "/done", {})
        assert [row.backend for row in phone.bench_phone([int8_file.path], server)] == ["litertjs-wasm"]
        monkeypatch.setattr(phone, "SILENT_S", 0.0)
        other = Phone(server)
        other.ask("POST", "/measured", POSTED)
        one, gone = phone.bench_phone([int8_file.path], server)
        assert isinstance(one, Measurement) and isinstance(gone, Refused) and "left before it was done" in gone.reason
        Phone(server)  # lets the phone see the page, and leaves before that was there
        with pytest.raises(BackendError, match="phone 3 said nothing for 0 s"):
            phone.bench_phone([int8_file.path], server)


def test_wrong_usage_is_one_sentence(litertjs_names: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "text.tflite").write_text("no model")
    assert cli.main(["phone", str(tmp_path / "text.tflite")]) == 1
    assert "is not a TFLite model" in capsys.readouterr().err
    assert cli.main(["bench", "x.tflite", "--on", "phone", "--backend", "litert"]) == 2
    assert "on a phone expected auto or one of litertjs-wasm" in capsys.readouterr().err
    with pytest.raises(ModelFileError):
        edgesdk.build_site([tmp_path / "text.tflite"], tmp_path / "site")


def test_the_site_takes_no_folder_of_others(
    litertjs_names: Path,
    int8_file: Converted,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(WriteError, match="is no site of edgesdk"):
        edgesdk.build_site([int8_file.path], mine)
    assert (mine / "thesis.txt").read_text() == "years of work"
    out = tmp_path / "site"
    assert cli.main(["web", str(int8_file.path), "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["path"] == str(out)
    told = json.loads((out / "site.json").read_text())
    assert told["workstation"] is None and (out / told["models"][0]["url"]).is_file()
    monkeypatch.chdir(out)  # its own folder, by the name that it has from within
    assert edgesdk.build_site([int8_file.path], ".") == Path()
    assert json.loads((out / "site.json").read_text()) == told
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".site")]


def test_where_no_site_can_be_written_is_one_sentence(
    litertjs_names: Path, int8_file: Converted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for module, name in ((tempfile, "mkdtemp"), (shutil, "copyfile")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            with pytest.raises(WriteError, match=r"cannot write .*site \(No space left on device\): name a folder"):
                edgesdk.build_site([int8_file.path], tmp_path / "site")
    assert list(tmp_path.iterdir()) == [tmp_path / "cache"]


def archive(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def test_litertjs_is_taken_by_its_hash_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    packages = tmp_path / "packages"
    packages.mkdir()
    with pytest.raises(BackendError, match="npm pack"):
        litertjs.find_litertjs(packages)
    made = {
        name: archive(dict.fromkeys(wanted, b'from "@litertjs/wasm-utils"')) for name, wanted in litertjs.WANTED.items()
    }
    for name, data in made.items():
        (packages / litertjs.archive_name(name)).write_bytes(data)
    with pytest.raises(BackendError, match="its sha512 differs"):
        litertjs.find_litertjs(packages)
    assert not list(tmp_path.glob("cache/*"))
    digests = {name: base64.b64encode(hashlib.sha512(data).digest()).decode() for name, data in made.items()}
    monkeypatch.setattr(litertjs, "INTEGRITY", digests)
    home = litertjs.find_litertjs(packages)
    assert {path.name for path in home.iterdir()} >= set(litertjs.NAMES)
    assert (home / "index.js").read_text() == 'from "./wasm-utils.js"'
    assert litertjs.find_litertjs() == home  # now it is in the cache, and nobody asks for npm
    with pytest.raises(BackendError, match=r"cannot read .*nowhere"):
        litertjs.find_litertjs(tmp_path / "nowhere")


def test_without_npm_it_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESDK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="npm is not installed: install npm, or run `npm pack"):
        litertjs.find_litertjs()
