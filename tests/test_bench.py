import contextlib
import csv
import io
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import write_photos
from edgesdk import Classifier, verbs
from edgesdk.converted import Converted
from edgesdk.errors import DataError, ModelFileError
from edgesdk.measurement import MEMORY, Conditions, Measurement, Refused
from edgesdk.reports import report
from edgesdk.reports.report import Report
from edgesdk.stats import percentiles, ratio_interval, wilson_interval
from edgesdk_device import bench
from edgesdk_device.accuracy import calibration_error, judge
from edgesdk_device.classifier import Model
from edgesdk_device.doubts import find_doubts
from edgesdk_device.measuring import Process


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
        assert "samples_ms" not in repr(m)  # thousands of numbers
        assert m.frame_ms.p50 > m.invoke_ms.p50
        assert 0 < m.load_ms < 10_000
        assert m.first_invoke_ms > 0
        assert 20e6 < m.peak_rss_bytes < 500e6
        assert 0 < m.delegated_nodes <= m.nodes
        assert 0 < m.cpu_over_wall < 2.5
        assert m.top1 is not None
        assert m.top1 > 0.9
        assert m.top1_n == 24  # of 120, which it learned: those that were held out
        assert m.max_difference is not None
        assert (m.family, m.delegate, m.choice) == ("cpu", "", None)
        assert any("quick" in warning for warning in m.warnings)


def test_json_has_the_keys_that_scripts_rely_on(measured: list[Measurement]) -> None:
    keys = "model backend threads delegated_nodes cpu_over_wall invoke_ms frame_ms load_ms first_invoke_ms"
    keys += " peak_rss_bytes top1 board warnings"
    for item in json.loads(report.as_json(measured)):
        assert set(keys.split()) <= set(item)
        assert {"p50", "p90", "p99", "max", "n"} == set(item["invoke_ms"]) == set(item["frame_ms"])
        assert not {"samples_ms", "frame_samples_ms", "blocks", "yardstick_ms"} & set(item)


def test_what_is_apart_is_told_apart(measured: list[Measurement]) -> None:
    for m in measured:
        assert m.allocate_ms is not None
        assert m.load_ms > 0 < m.allocate_ms
        assert m.warmup_ms > 0
        assert 0 < m.rss_delta_bytes < m.peak_rss_bytes
        assert m.age is not None
        assert m.age.invoke == pytest.approx(m.invoke_ms.p50, rel=2)
        assert m.paced is not None
        assert (m.paced.source, m.paced.age.capture) == ("memory", 0.0)
        assert 5 < m.paced.fps < 40
        assert m.frame_ms.n == len(m.frame_samples_ms)
        assert sum(m.blocks) == len(m.samples_ms)
        assert len(m.yardstick_ms) == len(m.blocks) > 3
        assert m.before is not None and m.after is not None and m.after.load > 0
        assert "edgesdk" in m.versions


def test_accuracy_is_judged(measured: list[Measurement]) -> None:
    for m in measured:
        value = m.judged
        assert value is not None
        assert (value.top1, value.n) == (m.top1, m.top1_n)
        assert value.top5 == 1.0  # of three classes
        assert set(value.per_class) == {"blue", "green", "red"}
        assert value.ci95[0] < value.top1 <= value.ci95[1]
        assert value.ece is not None and 0 <= value.ece < 0.5
        assert value.float_top1 is not None
    assert report.gate(measured[0], measured)[0] == "kept"
    assert report.gate(measured[2], measured) == ("", "")


def test_photos_that_it_did_not_learn_are_all_judged_on(int8_file: Converted, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 5)
    (tmp_path / "photos" / "red" / "00.png").unlink()
    with Model(int8_file.path) as model:
        judged = judge(model, str(tmp_path / "photos"))
    assert judged.n == 14
    assert judged.float_top1 is None  # the contract's is of other photos


def test_tables_hold_a_row_a_measurement(measured: list[Measurement]) -> None:
    lines = report.as_markdown(measured).splitlines()
    assert len([line for line in lines if line.startswith("| mobilenet")]) == 4
    assert len([line for line in lines if line.startswith("- ")]) == 3  # ratios to the fastest
    assert len(list(csv.reader(io.StringIO(report.as_csv(measured))))) == 1 + 4
    text = report.as_text(measured)
    assert "mobilenet_v1_0.25_48 int8" in text
    assert "note:" in text
    assert "in turns: " in text
    assert "accuracy: mobilenet_v1_0.25_48 int8, litert, 1 thread: keeps " in text


def test_reports_in_every_format(measured: list[Measurement], tmp_path: Path) -> None:
    for ending in ("html", "md", "csv", "json"):
        assert report.write_report(tmp_path / f"r.{ending}", Report(rows=measured)).stat().st_size > 100
    samples = json.loads((tmp_path / "r.json").read_text())[0]["samples_ms"]
    assert len(samples) == measured[0].invoke_ms.n
    with pytest.raises(ValueError, match=r"ends in '\.pdf', expected \.html"):
        report.write_report(tmp_path / "r.pdf", Report(rows=measured))


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
    page = report.write_report(tmp_path / "r.html", Report(rows=rows)).read_text()
    assert "&lt;no driver&gt;" in page


def test_auto_measures_what_was_chosen(int8_file: Converted) -> None:
    (row,) = verbs.bench([int8_file.path], quick=True)
    assert isinstance(row, Measurement)
    with Classifier(int8_file.path) as classify:
        assert classify.choice == row.choice
        assert (classify.backend.name, classify.backend.threads) == (row.backend, row.threads)
    assert f"auto: {row.model}: {row.backend}" in report.as_text([row])


def test_closing_a_camera_does_not_count_as_frames(int8_file: Converted, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process()
    process.open(str(int8_file.path), "litert", 1, None)
    source = process._opened(MEMORY, 1000.0)

    clock, slept = time.perf_counter, 0.0

    @contextlib.contextmanager
    def slow_to_close(*_: object) -> Iterator[object]:
        nonlocal slept
        yield source
        slept = 1000.0

    monkeypatch.setattr(process, "_opened", slow_to_close)
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + slept)
    paced = process.pace("0", 1000.0, 0.02)
    assert paced.frame_ms.n / paced.fps < 1000  # seconds


def test_what_cannot_be_measured_is_named(int8_file: Converted, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="backend is 'fast'"):
        verbs.bench([int8_file.path], backends=("fast",))
    with pytest.raises(ModelFileError, match="cannot read"):
        verbs.bench([tmp_path / "missing.tflite"])
    with pytest.raises(DataError, match="there is no"):
        verbs.bench([int8_file.path], data=tmp_path / "missing", quick=True)


def test_data_with_other_classes_is_named(int8_file: Converted) -> None:
    said = "digits has a class '0' that the model does not know: name photos of blue, green, red"
    with pytest.raises(DataError, match=said):
        verbs.bench([int8_file.path], data="digits", quick=True)


def test_doubts_name_cause_and_fix(measured: list[Measurement]) -> None:
    sound = replace(measured[0], threads=1, cpu_over_wall=1.0, yardstick_ms=(0.3,) * 12, samples_ms=(1.0,) * 99)
    calm = Conditions(governor="performance", clock_mhz=1500.0)
    sound = replace(sound, invoke_ms=percentiles(sound.samples_ms), before=calm, after=calm)
    assert find_doubts(sound, quick=False) == ()
    hot = replace(calm, governor="powersave", clock_mhz=900.0, throttled=("throttled", "too hot"), load=3.0)
    for change, said in (
        ({"delegated_nodes": 0}, "XNNPACK"),
        ({"threads": 2, "cpu_over_wall": 0.9}, "2 threads used 0.9 CPUs"),
        ({"cpu_over_wall": 0.4, "after": replace(calm, load=3.0)}, "one thread got 40 % of a CPU (load 3.0)"),
        ({"invoke_ms": percentiles([1.0] * 50 + [9.0] * 50)}, "p90 is 1.8 times p50"),
        ({"after": hot}, "governor is powersave: set it to performance"),
        ({"after": hot}, "held back (throttled, too hot): cool it"),
        ({"after": hot}, "fell from 1500 to 900 MHz"),
        ({"yardstick_ms": (0.3,) * 6 + (0.6,) * 6}, "noisy neighbour"),
        ({"max_difference": None}, "no golden outputs"),
    ):
        found = find_doubts(replace(sound, **change), quick=False)  # type: ignore[arg-type]
        assert any(said in sentence for sentence in found), (said, found)


def test_wilson_interval_is_the_textbooks() -> None:
    """Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_percentiles_clip_nothing() -> None:
    found = percentiles([*np.arange(1, 100).tolist(), 1000.0])
    assert (found.p50, found.max, found.n) == (50.5, 1000.0, 100)


def test_a_report_keeps_a_bounded_number_of_runs_and_the_weight_of_its_blocks() -> None:
    blocks = [range(600), range(300), range(1)]
    assert bench.thin_out(blocks, kept=901) == blocks
    thinned = bench.thin_out(blocks, kept=300)
    assert [len(block) for block in thinned] == [150, 75, 1]
    assert all(set(few) <= set(all_) for few, all_ in zip(thinned, blocks, strict=True))


@pytest.mark.parametrize("paired", [False, True])
def test_bootstrap_intervals_cover_the_truth(paired: bool) -> None:
    """Of 150 pairs of 30 blocks that differ by 10 %, a 95 % interval misses that in about 7."""
    rng = np.random.default_rng(1)

    def runs(center: float, disturbed: np.ndarray) -> list[np.ndarray]:
        return [center * pace * rng.lognormal(0, 0.02, 50) for pace in disturbed]

    missed = 0
    for _ in range(150):
        machine = rng.lognormal(0, 0.05, 30)
        ratio, low, high = ratio_interval(
            runs(1.1, machine), runs(1.0, machine if paired else rng.lognormal(0, 0.05, 30)), paired=paired
        )
        assert low <= ratio <= high
        assert high - low < (0.02 if paired else 0.15)
        missed += not low <= 1.1 <= high
    assert missed <= 16


def test_calibration_error_is_the_papers() -> None:
    """Half sure and always right is off by a half; sure of 0.9 and right in nine of ten is not off."""
    assert calibration_error(np.full(10, 0.5, np.float32), np.ones(10, bool)) == pytest.approx(0.5)
    right = np.array([True] * 9 + [False])
    assert calibration_error(np.full(10, 0.9, np.float32), right) == pytest.approx(0, abs=1e-6)
