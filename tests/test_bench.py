import csv
import io
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgesdk import Classifier, report, verbs
from edgesdk.converted import Converted
from edgesdk.errors import BackendError, DataError, ModelFileError
from edgesdk.measurement import Measurement, Refused
from edgesdk.stats import percentiles, wilson_interval
from edgesdk_device import bench


@pytest.fixture(scope="module")
def measured(int8_file: Converted, float_file: Converted, photos: Path) -> list[Measurement]:
    """Two files with one and two threads, quickly, with accuracy."""
    paths = [int8_file.path, float_file.path]
    measured, refused = report.split_rows(
        verbs.bench(paths, data=photos, backends=["litert"], threads=(1, 2), quick=True)
    )
    assert not refused
    return measured


def test_every_cell_is_measured(measured: list[Measurement]) -> None:
    assert [(m.model, m.threads) for m in measured] == [
        ("mobilenet_v1_0.25_48 int8", 1),
        ("mobilenet_v1_0.25_48 int8", 2),
        ("mobilenet_v1_0.25_48 float32", 1),
        ("mobilenet_v1_0.25_48 float32", 2),
    ]
    for m in measured:
        assert m.backend == "litert"
        assert 0 < m.invoke_ms.p50 <= m.invoke_ms.p90 <= m.invoke_ms.p99 <= m.invoke_ms.max
        assert m.invoke_ms.n == len(m.samples_ms) >= bench.QUICK.samples
        assert m.frame_ms.p50 > m.invoke_ms.p50
        assert 0 < m.load_ms < 10_000
        assert m.first_invoke_ms > 0
        assert 20e6 < m.peak_rss_bytes < 500e6
        assert 0 < m.delegated_nodes <= m.nodes
        assert 0 < m.cpu_over_wall < 2.5
        assert m.top1 is not None
        assert m.top1 > 0.9
        assert m.top1_n == 120
        assert m.max_difference is not None
        assert (m.family, m.delegate, m.choice) == ("cpu", "", None)
        assert any("quick" in warning for warning in m.warnings)


def test_json_has_the_keys_that_scripts_rely_on(measured: list[Measurement]) -> None:
    keys = "model backend threads delegated_nodes cpu_over_wall invoke_ms frame_ms load_ms first_invoke_ms"
    keys += " peak_rss_bytes top1 board warnings"
    for item in json.loads(report.as_json(measured)):
        assert set(keys.split()) <= set(item)
        assert {"p50", "p90", "p99", "max", "n"} == set(item["invoke_ms"]) == set(item["frame_ms"])
        assert "samples_ms" not in item


def test_tables_hold_a_row_a_measurement(measured: list[Measurement]) -> None:
    assert len(report.as_markdown(measured).splitlines()) == 2 + 4
    assert len(list(csv.reader(io.StringIO(report.as_csv(measured))))) == 1 + 4
    text = report.as_text(measured)
    assert "mobilenet_v1_0.25_48 int8" in text
    assert "note:" in text


def test_the_html_report_is_whole_and_escapes_what_a_file_says(measured: list[Measurement], tmp_path: Path) -> None:
    hostile = replace(measured[0], model="<script>alert(1)</script>")
    path = report.write_report(tmp_path / "bench.html", [hostile, *measured], ["edgesdk", "bench", "a b.tflite"])
    page = path.read_text()
    assert "<script" not in page
    assert "edgesdk bench &#39;a b.tflite&#39;" in page
    assert page.count("<figure>") == 1 + 5
    assert not re.search(r"""(src|href)=["']?https?:""", page)  # nothing is fetched


def test_reports_in_every_format(measured: list[Measurement], tmp_path: Path) -> None:
    for ending in ("html", "md", "csv", "json"):
        assert report.write_report(tmp_path / f"r.{ending}", measured).stat().st_size > 100
    samples = json.loads((tmp_path / "r.json").read_text())[0]["samples_ms"]
    assert len(samples) == measured[0].invoke_ms.n
    with pytest.raises(ValueError, match=r"ends in '\.pdf', expected \.html"):
        report.write_report(tmp_path / "r.pdf", measured)


def test_refused_rows_are_in_every_format(measured: list[Measurement], tmp_path: Path) -> None:
    m = measured[0]
    reason = "litert-gpu 2.3.0 does not run here: <no driver>"
    rows = [
        m,
        Refused(
            model=m.model, path=m.path, sha256=m.sha256, backend="litert-gpu", threads=1, delegate="", reason=reason
        ),
    ]
    assert f"refused: {m.model}, litert-gpu: {reason}" in report.as_text(rows)
    assert f"- refused: {m.model}, litert-gpu: {reason}" in report.as_markdown(rows)
    *_, last = csv.reader(io.StringIO(report.as_csv(rows)))
    assert (last[1], last[-1], len(last)) == ("litert-gpu", reason, len(report.COLUMNS) + 1)
    assert json.loads(report.as_json(rows))[1]["reason"] == reason
    page = report.write_report(tmp_path / "r.html", rows).read_text()
    assert "&lt;no driver&gt;" in page


def test_auto_measures_what_was_chosen(int8_file: Converted) -> None:
    (row,) = verbs.bench([int8_file.path], quick=True)
    assert isinstance(row, Measurement)
    with Classifier(int8_file.path) as classify:
        assert classify.choice == row.choice
        assert (classify.backend.name, classify.backend.threads) == (row.backend, row.threads)
    assert f"auto: {row.model}: {row.backend}" in report.as_text([row])


def test_what_cannot_be_measured_is_named(int8_file: Converted, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="backend is 'fast'"):
        verbs.bench([int8_file.path], backends=("fast",))
    with pytest.raises(ModelFileError, match="cannot read"):
        verbs.bench([tmp_path / "missing.tflite"])
    with pytest.raises(DataError, match="is nothing"):
        verbs.bench([int8_file.path], data=tmp_path / "missing", quick=True)


def test_data_with_other_classes_is_named(int8_file: Converted) -> None:
    with pytest.raises(
        DataError, match="digits has a class '0' that the model does not know; it knows blue, green, red"
    ):
        verbs.bench([int8_file.path], data="digits", quick=True)


def test_a_process_that_dies_is_reported(int8_file: Converted, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that takes its process down, as tflite-runtime does with some files: here the process is `false`."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BackendError, match=r"litert, 1 thread on .* died \(exit code 1\)"):
        verbs.bench([int8_file.path], backends=["litert"], threads=[1], quick=True)


def test_a_model_on_reference_kernels_is_warned_about() -> None:
    found = bench._warnings(0, 0.9, 2, [1.0] * 50 + [9.0] * 50, quick=False, golden=0.0)
    assert ["XNNPACK" in found[0], "2 threads used 0.9 CPUs" in found[1]] == [True, True]
    assert any("p90 is" in warning for warning in found)


def test_wilson_interval_is_the_textbooks() -> None:
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_percentiles_clip_nothing() -> None:
    found = percentiles([*np.arange(1, 100).tolist(), 1000.0])
    assert (found.p50, found.max, found.n) == (50.5, 1000.0, 100)
