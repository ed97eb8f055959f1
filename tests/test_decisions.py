from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesdk.converted import Converted
from edgesdk.errors import AppFileError
from edgesdk_device.app import AppSettings, Decider, Decisions, Event, read_app
from edgesdk_device.app.look import Look, changed_share, cut, small_grey
from edgesdk_device.app.meter import Meter
from edgesdk_device.app.settings import parse_address, parse_broker, settings_of

LABELS = st.sampled_from(["cat", "dog", "none"])


def decide_all(decider: Decider, labels: str, *, score: float = 0.9, fps: float = 10.0) -> list[tuple[str, str, int]]:
    """One frame a word; what was decided, with the frame that decided it."""
    events: list[Event] = []
    for frame, label in enumerate(labels.split()):
        events += decider.decide(label, score, at=frame / fps, frame=frame)
    return [(event.kind, event.label, event.frame or 0) for event in events]


def test_a_label_is_there_after_three_of_five_and_stays_until_something_else_is() -> None:
    decider = Decider(Decisions())
    assert decide_all(decider, "cat dog cat dog cat dog") == [
        ("seen", "cat", 4),
        ("gone", "cat", 5),
        ("seen", "dog", 5),
    ]
    assert decider.label == "dog"


def test_none_of_these_is_a_low_score_or_a_class_of_that_name() -> None:
    decider = Decider(Decisions(threshold=0.6))
    assert decide_all(decider, "cat cat cat cat", score=0.59) == []
    assert decider.label == ""
    assert decide_all(decider, "cat cat cat none none none") == [("seen", "cat", 2), ("gone", "cat", 5)]
    assert decide_all(Decider(Decisions(none=("cat",))), "cat cat cat") == []


def test_a_label_that_comes_back_is_quiet_until_its_cooldown_ends() -> None:
    """Ten frames a second: the cat leaves at 0.5 s, is back at 0.8 s and reported at 1.5 s, if it is there then."""
    decisions = Decisions(votes=2, window=3, cooldown_s=1.0)
    gone_and_back = "cat cat cat none none none none cat cat"
    assert decide_all(Decider(decisions), gone_and_back + " cat" * 8) == [
        ("seen", "cat", 1),
        ("gone", "cat", 4),
        ("seen", "cat", 14),
    ]
    assert decide_all(Decider(decisions), gone_and_back + " none" * 8) == [("seen", "cat", 1), ("gone", "cat", 4)]


def test_each_class_may_have_its_own_cooldown() -> None:
    decisions = Decisions(votes=1, window=1, cooldown_s=100, cooldowns_s={"dog": 0.0})
    assert decide_all(Decider(decisions), "cat dog cat dog") == [
        ("seen", "cat", 0),
        ("gone", "cat", 1),
        ("seen", "dog", 1),
        ("gone", "dog", 2),
        ("seen", "dog", 3),
    ]


def test_forgetting_leaves_what_was_there_and_its_votes() -> None:
    decider = Decider(Decisions())
    decide_all(decider, "cat cat cat")
    assert [(event.kind, event.label) for event in decider.forget(at=1.0)] == [("gone", "cat")]
    assert decider.label == ""
    assert decider.forget(at=1.0) == ()
    assert decide_all(decider, "cat cat") == []


@given(
    st.lists(st.tuples(LABELS, st.floats(0, 1)), max_size=80),
    st.integers(1, 9).flatmap(lambda n: st.tuples(st.integers(n // 2 + 1, n), st.just(n))),
    st.floats(0, 3),
)
def test_seen_and_gone_take_turns_and_have_their_votes(
    answers: list[tuple[str, float]], shape: tuple[int, int], cooldown_s: float
) -> None:
    votes, window = shape
    decisions = Decisions(threshold=0.5, votes=votes, window=window, cooldown_s=cooldown_s)
    decider = Decider(decisions)
    there = ""
    left_at: dict[str, float] = {}
    given_votes: list[str] = []
    for frame, (label, score) in enumerate(answers):
        given_votes.append(label if score >= 0.5 and label != "none" else "")
        for event in decider.decide(label, score, at=frame / 10, frame=frame):
            if event.kind == "gone":
                assert event.label == there
                there = ""
                left_at[event.label] = event.at
            else:
                assert there == ""
                there = event.label
                assert event.at >= left_at.get(event.label, -1e9) + cooldown_s
        assert there in ("", decider.label)
        if given_votes[-window:].count(given_votes[-1]) >= votes:
            assert decider.label == given_votes[-1]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"threshold": 1.5}, "threshold is 1.5, expected 0 to 1"),
        ({"votes": 2, "window": 5}, "votes is 2, expected 3 to 5 of a window of 5"),
        ({"votes": 6, "window": 5}, "votes is 6"),
        ({"window": 0}, "window is 0"),
        ({"cooldown_s": -1.0}, "the cooldown cooldown_s is -1.0"),
        ({"cooldowns_s": {"cat": -2.0}}, "the cooldown cat is -2.0"),
        ({"region": [0.0, 0.0, 0.5]}, "expected left,top,right,bottom"),
        ({"region": [0.5, 0.0, 0.5, 1.0]}, "expected left,top,right,bottom"),
        ({"motion": -0.1}, "motion is -0.1"),
        ({"treshold": 0.5}, "decisions.treshold is no setting, expected one of threshold"),
        ({"votes": "three"}, "decisions.votes is 'three', expected int"),
        ({"votes": True}, "decisions.votes is 'True', expected int"),
    ],
)
def test_wrong_decisions_are_one_sentence(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as found:
        settings_of({"decisions": wrong})
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"serve": "port"}, "serve is 'port', expected PORT or HOST:PORT"),
        ({"serve": "1.2.3.4:99999"}, "serve is '1.2.3.4:99999'"),
        ({"mqtt": "http://user:secret@host"}, "mqtt is no broker's URL"),
        ({"mqtt": "mqtt://user:secret@host:notaport"}, "mqtt is no broker's URL"),
        ({"collect": "photos"}, "there is none: name a port with serve"),
        ({"viewers": 0, "serve": "1"}, "viewers is 0"),
        ({"events_mb": 0.0}, "events_mb is 0.0"),
        ({"capture": {"stall_s": 0.0}}, "stall_s is 0.0"),
        ({"capture": {"stalls": 1}}, "capture.stalls is no setting"),
        ({"capture": 3}, "capture is '3', expected an object"),
    ],
)
def test_wrong_settings_are_one_sentence_without_a_password(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as found:
        settings_of(wrong)
    assert "secret" not in str(found.value)


def test_an_app_file_says_it_all_and_flags_come_first(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    path.write_text(
        "source = 1\nserve = 8000\nthreads = 2\n[capture]\nstall_s = 3\n"
        "[decisions]\nthreshold = 0.7\nregion = [0, 0, 0.5, 1]\n[decisions.cooldowns_s]\ncat = 60\n"
    )
    settings = read_app(path)
    assert settings == AppSettings(
        source="1",
        serve="8000",
        threads=2,
        capture=settings.capture,
        decisions=Decisions(threshold=0.7, region=(0.0, 0.0, 0.5, 1.0), cooldowns_s={"cat": 60.0}),
    )
    assert settings.capture.stall_s == 3
    said = read_app(path, {"serve": "9000", "decisions": {"threshold": 0.2}, "capture": {}})
    assert (said.serve, said.decisions.threshold, said.decisions.region) == ("9000", 0.2, (0.0, 0.0, 0.5, 1.0))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("threshold = = 1", "is no TOML"),
        ("threshold = 0.5", "threshold is no setting, expected one of source"),
        ("[decisions]\nvotes = 1", "votes is 1, expected 3 to 5"),
        ("\udcff", "is no TOML"),
    ],
)
def test_a_wrong_app_file_is_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(AppFileError, match=sentence):
        read_app(path)
    with pytest.raises(AppFileError, match="cannot read the app file"):
        read_app(tmp_path / "missing.toml")


def test_addresses_and_brokers() -> None:
    assert parse_address("8000") == ("127.0.0.1", 8000)
    assert parse_address("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_address("[::1]:80") == ("::1", 80)
    broker = parse_broker("mqtts://me:p%40ss@broker.local/home/cam/")
    assert (broker.host, broker.port, broker.tls, broker.user, broker.password) == (
        "broker.local",
        8883,
        True,
        "me",
        "p@ss",
    )
    assert broker.prefix == "home/cam"
    assert "p@ss" not in repr(broker)
    assert parse_broker("mqtt://h").prefix == "edgesdk"


def test_a_region_is_a_view_of_the_frame_and_never_empty() -> None:
    frame = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)
    part = cut(frame, (0.5, 0.2, 1.0, 0.6))
    assert np.array_equal(part, frame[2:6, 10:20])
    assert np.shares_memory(part, frame)
    assert cut(frame, None) is frame
    assert cut(frame, (0.999, 0.999, 1.0, 1.0)).shape == (1, 1, 3)


def test_noise_is_no_motion_and_a_moved_thing_is() -> None:
    rng = np.random.default_rng(0)
    picture = np.full((480, 640, 3), 100, np.uint8)
    noisy = [np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    assert changed_share(small_grey(noisy[0]), small_grey(noisy[1])) == 0.0
    moved = noisy[1].copy()
    moved[100:220, 100:260] = 200
    share = changed_share(small_grey(noisy[0]), small_grey(moved))
    assert share == pytest.approx(120 * 160 / (480 * 640), abs=0.02)
    assert small_grey(np.zeros((5, 4), np.uint8)).shape == (30, 40)


def test_where_nothing_moves_the_last_answer_stands(int8_file: Converted) -> None:
    red, blue = (np.full((60, 80, 3), color, np.uint8) for color in ((40, 40, 200), (200, 40, 40)))
    with Look(int8_file.path, AppSettings(decisions=Decisions(motion=0.1, votes=2, window=2))) as look:
        answers = [look(frame) for frame in (red, red, red, red, blue, blue, blue)]
    assert [answer.label for answer in answers] == ["red"] * 4 + ["blue"] * 3
    # Two frames after a movement are classified, for the votes; then it sleeps.
    assert [answer.invoke_ms > 0 for answer in answers] == [True, True, False, False, True, True, False]
    assert answers[2].top == answers[1].top


def test_only_the_region_is_looked_at(int8_file: Converted) -> None:
    frame = np.full((60, 80, 3), (200, 40, 40), np.uint8)
    frame[:, 40:] = (40, 40, 200)
    with Look(int8_file.path, AppSettings(decisions=Decisions(region=(0.5, 0, 1, 1)))) as look:
        assert look(frame).label == "red"
    with Look(int8_file.path, AppSettings(decisions=Decisions(region=(0, 0, 0.5, 1)))) as look:
        assert look(frame).label == "blue"


def test_the_pace_of_the_last_answers() -> None:
    meter = Meter()
    assert meter.pace(0.0).fps == 0
    for index in range(100):
        meter.add(index / 20, float(index))
    pace = meter.pace(99 / 20)
    assert pace.fps == pytest.approx(20)
    assert (pace.age_p50_ms, pace.age_p95_ms) == (50.0, 95.0)
    assert meter.pace(99 / 20 + 5).fps == pytest.approx(10, rel=0.02)  # standing still, it sinks
