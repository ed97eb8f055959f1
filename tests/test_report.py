"""A report's page in headless Chromium: nothing is fetched or overflows, everything is said and can be taken along."""

import base64
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgesdk import cli, modelfile, verbs
from edgesdk.converted import Converted
from edgesdk.errors import MeasurementError
from edgesdk.measurement import Conditions, Measurement, Minute, Refused
from edgesdk.reports import benchlog, drawing, report
from edgesdk.reports.report import Report
from edgesdk.stats import percentiles

LOG = """\
INFO: Graph: [/data/local/tmp/mobilenet_v1_1.0_224.tflite]
INFO: #threads used for CPU inference: [4]
INFO: Replacing 30 out of 31 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions.
INFO: count=8 first=81913 curr=62000 min=60000 max=81913 avg=66000 std=900
INFO: count=50 first=56005 curr=56500 min=54669 max=60236 avg=56265.8 std=982
INFO: Inference timings in us: Init: 3337, First inference: 81913, Warmup (avg): 66000, Inference (avg): 56265.8
INFO: Peak memory footprint (MB): init=8.2 overall=93.25
INFO: Profiling Info for Benchmark Initialization:
============================== Summary by node type ==============================
\t [Node type]\t [count]\t [avg ms]\t [avg %]\t [cdf %]\t [mem KB]\t [times called]
\t ModifyGraphWithDelegate\t 1\t 2.000\t 90.000%\t 90.000%\t 0.000\t 1
INFO: Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Summary by node type ==============================
\t [Node type]\t [count]\t [avg ms]\t [avg %]\t [cdf %]\t [mem KB]\t [times called]
\t Convolution (NHWC, F32) IGEMM\t 1\t 3.100\t 5.500%\t 100.000%\t 0.000\t 1
\t Fully Connected (NC, F32) GEMM\t 14\t 40.500\t 72.000%\t 72.000%\t 0.000\t 14
\t Convolution (NHWC, F32) DWConv\t 13\t 12.600\t 22.500%\t 94.500%\t 0.000\t 13

Timings (microseconds): count=50
"""


@pytest.fixture(scope="module")
def rows(int8_file: Converted, float_file: Converted, photos: Path) -> list[Measurement]:
    """Two measurements with accuracy, one of them as if watched for ten minutes on a board that grew hot."""
    paths = [int8_file.path, float_file.path]
    found = verbs.bench(paths, data=photos, backends=["litert"], threads=[1], sustained_minutes=0.01, quick=True)
    measured, _ = report.split_rows(found)
    assert len(measured[0].sustained) == 1
    assert 0 < measured[0].sustained[0].frame_ms.p50 < measured[0].sustained[0].end_s * 1e3
    minutes = tuple(
        Minute(
            end_s=60.0 * (index + 1),
            frame_ms=percentiles([8 + index * 0.3, 9 + index * 0.5]),
            conditions=Conditions(
                clock_mhz=1800 - 60 * index,
                temperature_c=50 + 3.5 * index,
                throttled=("throttled",) if index > 6 else (),
            ),
        )
        for index in range(10)
    )
    return [replace(measured[0], sustained=minutes), measured[1]]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from phones import chromium

    with chromium(tmp_path_factory.mktemp("chromium"), logs=("browser", "performance")) as browser:
        browser.get("about:blank")
        browser.get_log("performance")  # type: ignore[no-untyped-call] # what the browser opened by itself
        yield browser


def show(browser: Any, path: Path, width: int, scheme: str = "light") -> None:
    """Open a page at a width in pixels."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(path.as_uri())


def test_where_the_clock_is_not_told_at_first_the_tips_say_the_right_minute() -> None:
    minutes = [
        Minute(end_s=60.0 * (index + 1), frame_ms=percentiles([8.0]), conditions=Conditions(clock_mhz=clock))
        for index, clock in enumerate((None, 1800.0))
    ]
    assert "clock 1800 MHz at 2 min" in drawing.sustained(minutes)


def test_each_kind_of_measurement_is_a_markdown_table_of_its_own(rows: list[Measurement], tmp_path: Path) -> None:
    (tmp_path / "phone.log").write_text(LOG)
    lines = report.as_markdown([*rows, benchlog.read_log(tmp_path / "phone.log")]).splitlines()
    second = next(index for index, line in enumerate(lines) if line.startswith("| model | backend | threads | mean ms"))
    assert lines[second - 1] == ""
    assert {line.count("|") for line in lines[second : second + 3]} == {13}


def test_an_imported_log_has_its_place_in_a_csv(rows: list[Measurement], tmp_path: Path) -> None:
    (tmp_path / "phone.log").write_text(LOG)
    *measured, imported = csv.DictReader(
        io.StringIO(report.as_csv([*rows, benchlog.read_log(tmp_path / "phone.log")])), strict=True
    )
    assert len(measured) == len(rows)
    assert (imported["mean ms"], imported["p90"], measured[0]["mean ms"]) == ("56.266", "", "")


def test_the_page_at_a_desk_and_on_a_phone(rows: list[Measurement], browser: Any, tmp_path: Path) -> None:
    hostile = replace(rows[0], model="</script><script>alert(1)</script>", path="x</dd>.tflite", sustained=())
    refused = Refused(
        model="m", path="p", sha256="", backend="litert-gpu", threads=1, delegate="", reason="<b>no driver</b>"
    )
    made = Report(rows=[*rows, hostile, refused], command=["edgesdk", "bench", "a b.tflite"])
    page = report.write_report(tmp_path / "page.html", made)
    for width in (1280, 390):
        show(browser, page, width)
        assert browser.get_log("browser") == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        shown = "wide" if width > 1000 else "narrow"
        sizes = browser.execute_script(
            "return [...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width)"
            ".map(s => [s.getAttribute('class'), s.getBoundingClientRect().width / s.viewBox.baseVal.width])"
        )
        assert len(sizes) >= 6
        assert {kind for kind, _ in sizes} == {shown, "any"}
        assert min(scale for _, scale in sizes) > 0.6  # text of 13 px stays readable
    text = browser.find_element("tag name", "body").text
    for words in (
        "What accuracy costs",
        "Minutes on end",
        "Class by class",
        "<b>no driver</b>",
        "edgesdk bench 'a b.tflite'",
        rows[0].board,
    ):
        assert words in text
    requests = [json.loads(item["message"])["message"] for item in browser.get_log("performance")]
    urls = {item["params"]["request"]["url"] for item in requests if item["method"] == "Network.requestWillBeSent"}
    assert {url.partition(":")[0] for url in urls} <= {"file", "data", "blob"}


def test_hover_says_what_a_mark_means_and_the_figures_can_be_taken(
    rows: list[Measurement], browser: Any, tmp_path: Path
) -> None:
    page = report.write_report(tmp_path / "page.html", Report(rows=rows))
    show(browser, page, 1280, "dark")
    shade = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, shade.removeprefix("rgb(").rstrip(")").split(","))) < 120
    browser.execute_script(
        "const dot = document.querySelector('svg.wide .dot'), box = dot.getBoundingClientRect();"
        "dot.dispatchEvent(new PointerEvent('pointermove', {bubbles: true, clientX: box.x, clientY: box.y}));"
    )
    tip = browser.find_element("id", "tip")
    assert tip.is_displayed()
    assert "invoke p90" in tip.text
    taken = browser.execute_async_script(
        "const done = arguments[0], links = [...document.querySelectorAll('a[download]')];"
        "Promise.all(links.map(a => fetch(a.href).then(r => r.text()))).then(done)"
    )
    assert [len(row["samples_ms"]) for row in json.loads(taken[0])] == [row.invoke_ms.n for row in rows]
    assert taken[1] == report.as_csv(rows)
    pdf = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert base64.b64decode(pdf).count(b"/Type /Page\n") <= 8


def test_every_plot_has_a_unit(rows: list[Measurement], tmp_path: Path) -> None:
    text = report.write_report(tmp_path / "page.html", Report(rows=rows)).read_text()
    pictures = text.split("<svg")[1:]
    assert len(pictures) > 8
    for picture in pictures:
        words = picture.partition("</svg>")[0]
        assert "ms" in words or "share of each type" in words, words[:80]


def test_a_log_of_benchmark_model_is_imported(
    rows: list[Measurement], int8_file: Converted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "phone.txt"
    log.write_text(LOG)
    page = tmp_path / "log.html"
    assert cli.main(["bench", "--import", str(log), "--report", str(page)]) == 0
    out = capsys.readouterr().out
    assert "mobilenet_v1_1.0_224" in out
    assert "56.266" in out
    row = benchlog.read_log(log)
    assert (row.threads, row.n, row.backend, row.delegated_nodes) == (4, 50, "litert", 30)
    assert [(op.count, op.share) for op in row.ops] == [(14, 0.72), (13, 0.225), (1, 0.055)]
    assert row.ops[0].name == "Fully Connected (NC, F32) GEMM"
    text = page.read_text()
    assert "by benchmark_model's profile" in text
    assert "Fully Connected (NC, F32) GEMM: 14 operations, 40.500 ms" in text
    log.write_text("nothing")
    with pytest.raises(MeasurementError, match="holds no timings"):
        benchlog.read_log(log)
    with pytest.raises(MeasurementError, match="cannot read"):
        benchlog.read_log(tmp_path / "none")


def test_a_result_of_benchmark_model_in_json_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """BenchmarkResult of tensorflow/lite/tools/benchmark/proto, as protobuf's JSON writes it in both ways."""
    times = {
        "avg_ms": 1.5,
        "min_ms": 1.25,
        "max_ms": 4.0,
        "stddev_ms": 0.25,
        "init_ms": 30.0,
        "first_inference_ms": 9.0,
    }
    result = {"name": "v1_0.5", "latency_metrics": times, "memory_metrics": {"peak_mem_mb": 20.0}}
    result["misc_metrics"] = {"num_runs": 50, "model_size_mb": 1.3}
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    assert cli.main(["bench", "--import", str(path), "--report", str(tmp_path / "page.html")]) == 0
    assert "v1_0.5" in capsys.readouterr().out
    row = benchlog.read_log(path)
    assert (row.mean_ms, row.first_invoke_ms, row.n, row.peak_memory_bytes) == (1.5, 9.0, 50, 20 << 20)

    def camel(name: str) -> str:
        head, *rest = name.split("_")
        return head + "".join(word.capitalize() for word in rest)

    other = {
        camel(name): {camel(key): number for key, number in value.items()} if isinstance(value, dict) else value
        for name, value in result.items()
    }
    path.write_text(json.dumps(other))
    assert benchlog.read_log(path) == row
    for text, said in (
        ('{"latency_metrics": {"avg_ms": 1}}', "holds no init_ms"),
        ('{"latency_metrics": 5}', "is no result of benchmark_model"),
        ('{"latency_metrics": ', "is no result of benchmark_model"),
    ):
        path.write_text(text)
        with pytest.raises(MeasurementError, match=said):
            benchlog.read_log(path)


def test_a_model_that_crashes_its_runtime_is_a_row(
    int8_file: Converted, float_file: Converted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A convolution without its strides: tflite-runtime divides by them and takes its process down."""
    pytest.importorskip("tflite_runtime")
    file = modelfile.read(int8_file.path)
    path = tmp_path / "crash.tflite"
    modelfile.write(path, _without_strides(file.content), file.required_contract())
    page = tmp_path / "crash.html"
    command = ["bench", str(path), str(float_file.path), "--backend", "tflite-runtime", "--threads", "1", "--quick"]
    assert cli.main([*command, "--report", str(page)]) == 0
    assert "died (SIGFPE)" in capsys.readouterr().out
    assert "died (SIGFPE)" in page.read_text()
    assert cli.main([*command[:2], *command[3:], "--report", str(page)]) == 1
    assert "died (SIGFPE)" in capsys.readouterr().err
    assert "Nothing was measured on this machine" in page.read_text()


def _without_strides(content: bytes) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    codes = [model.operatorCodes[op.opcodeIndex].builtinCode for op in model.subgraphs[0].operators]
    broken = model.subgraphs[0].operators[codes.index(schema.BuiltinOperator.CONV_2D)]
    broken.builtinOptions, broken.builtinOptionsType = None, 0
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
