"""The comparison with what was measured before: it cries wolf never, and sees the wolf."""

import copy
import json
from dataclasses import asdict, replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgesdk import cli, modelfile, verbs
from edgesdk.baseline import compare, confirm, read_baseline
from edgesdk.converted import Converted
from edgesdk.errors import MeasurementError
from edgesdk.measurement import Measurement
from edgesdk.reports.report import Report, write_report
from edgesdk.stats import percentiles


@pytest.fixture(scope="module")
def before(float_file: Converted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the float file to compare with."""
    path = tmp_path_factory.mktemp("before") / "before.json"
    rows = verbs.bench([float_file.path], backends=["litert"], threads=[1], quick=True)
    return write_report(path, Report(rows=rows))


def made(base: Measurement, factor: float, pace: float = 1.0, seed: int = 0) -> Measurement:
    """`base` as if the model took `factor` times as long, and the machine `pace` times, in noisy blocks of 40 runs."""
    rng = np.random.default_rng(seed)
    paces = pace * rng.lognormal(0, 0.05, 20)
    samples = (factor * paces[:, None] * rng.lognormal(0, 0.03, (20, 40))).ravel().tolist()
    return replace(
        base,
        samples_ms=tuple(samples),
        blocks=(40,) * 20,
        yardstick_ms=tuple((0.3 * paces).tolist()),
        invoke_ms=percentiles(samples),
    )


def test_a_slowed_model_is_flagged_and_the_same_is_not(
    before: Path, float_file: Converted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Slowed by 400 operations that change nothing: its golden outputs still agree, so only the clock can tell."""
    command = ["bench", "--backend", "litert", "--threads", "1", "--quick", "--baseline", str(before)]
    assert cli.main([*command, str(float_file.path)]) == 0
    assert ": not distinguishable: " in capsys.readouterr().out
    slowed, page = tmp_path / "slowed.tflite", tmp_path / "page.html"
    file = modelfile.read(float_file.path)
    modelfile.write(slowed, abs_again(file.content, 400), file.required_contract())
    assert cli.main([*command, str(slowed), "--report", str(page)]) == 3
    said = capsys.readouterr()
    assert ": slower: " in said.out
    assert "slower than" in said.err
    assert "Against the baseline" in page.read_text()
    assert cli.main(["bench", str(slowed), "--quick", "--tolerance", "3"]) == 2
    capsys.readouterr()
    assert cli.main([*command, str(slowed), "--tolerance", "-3"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1  # before anything is measured


def abs_again(content: bytes, times: int) -> bytes:
    """The model with ABS on the first convolution's output, which is positive, so many times."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ABS
    code.version = 1
    model.operatorCodes.append(code)
    kinds = [model.operatorCodes[op.opcodeIndex].builtinCode for op in graph.operators]
    first = kinds.index(schema.BuiltinOperator.CONV_2D)
    source = last = int(graph.operators[first].outputs[0])
    assert graph.operators[first].builtinOptions.fusedActivationFunction == schema.ActivationFunctionType.RELU6
    added = []
    for index in range(times):
        tensor = copy.copy(graph.tensors[source])
        tensor.name = f"again {index}".encode()
        graph.tensors.append(tensor)
        op = schema.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = len(model.operatorCodes) - 1, [last], [len(graph.tensors) - 1]
        last = op.outputs[0]
        added.append(op)
    for op in graph.operators[first + 1 :]:
        op.inputs = [last if tensor == source else int(tensor) for tensor in op.inputs]
    graph.operators[first + 1 : first + 1] = added
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("factor", "pace", "verdict"),
    [
        (1.0, 1.0, "not distinguishable"),
        (1.0, 1.6, "not distinguishable"),  # a busy machine slows the fixed work as well
        (1.25, 1.0, "slower"),
        (1.25, 1.1, "slower"),
        (0.7, 1.0, "faster"),
        (1.03, 1.0, "not distinguishable"),  # within the tolerance
    ],
)
def test_verdicts(factor: float, pace: float, verdict: str, before: Path) -> None:
    (base,) = read_baseline(before)
    found = [compare([made(base, factor, pace, seed + 1)], [made(base, 1.0, seed=0)])[0].verdict for seed in range(20)]
    assert found == [verdict] * 20


def test_what_is_slower_only_once_is_not_told(before: Path) -> None:
    """An unlucky process: the next one takes as long as the baseline."""
    (base,) = read_baseline(before)
    old = [made(base, 1.0)]
    slow, same = (compare([made(base, factor, seed=1)], old) for factor in (1.25, 1.0))
    assert confirm(slow, slow) == slow
    assert confirm(slow, []) == slow  # refused the second time: what was seen stands
    assert confirm(slow, same) == same
    assert confirm(same, slow) == same
    assert confirm(slow, compare([made(base, 0.7, seed=1)], old))[0].verdict == "not distinguishable"


def test_what_cannot_be_compared_says_why(before: Path) -> None:
    (base,) = read_baseline(before)
    found = compare(
        [replace(base, model="other"), replace(base, board="Raspberry Pi 4"), replace(base, blocks=base.blocks[:2])],
        [base],
    )
    assert [item.verdict for item in found] == ["not comparable"] * 3
    assert "does not hold it" in found[0].reason
    assert found[1].reason.endswith("this on Raspberry Pi 4")
    assert "leave out --quick" in found[2].reason
    with pytest.raises(ValueError, match="tolerance is -1"):
        compare([base], [base], -1)


def test_a_file_that_is_no_baseline_is_named(before: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(MeasurementError, match="cannot read"):
        read_baseline(path)
    (base,) = read_baseline(before)
    thin = {key: value for key, value in asdict(base).items() if key != "samples_ms"}
    for text, said in (
        ("[", "is no report"),
        ("3", "is no report"),
        ('[{"samples_ms": []}]', "row.model is missing"),
        (json.dumps([thin]), "holds no measurement with its raw times"),
    ):
        path.write_text(text)
        with pytest.raises(MeasurementError, match=said):
            read_baseline(path)


def test_raw_times_that_do_not_fit_are_named(before: Path, tmp_path: Path) -> None:
    rows = json.loads(before.read_bytes())
    rows[0]["yardstick_ms"].pop()
    (tmp_path / "cut.json").write_text(json.dumps(rows))
    with pytest.raises(MeasurementError, match="its raw times do not fit their blocks"):
        read_baseline(tmp_path / "cut.json")
