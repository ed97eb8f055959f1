"""Publishing, to a real mosquitto."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from apps import until
from edgesdk.results import Classification
from edgesdk_device.app import AppSettings, Event, Seen
from edgesdk_device.app.mqtt import SPOOL, Publisher
from edgesdk_device.cameras.frame import Frame
from edgesdk_device.stream import Age, Answer

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/opt/homebrew/sbin")
PASSWORD = "pass word@1"
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


class Broker:
    """A mosquitto that lets in "camera" with its password, and can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        subprocess.run(["mosquitto_passwd", "-b", "-c", str(folder / "users"), "camera", PASSWORD], check=True)
        (folder / "users").chmod(0o644)  # it drops root's rights before it reads
        folder.chmod(0o755)
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\npassword_file {folder / 'users'}\nuser root\n"
            f"persistence true\npersistence_location {folder}/\nmax_queued_messages 0\n"  # for our listener
        )
        self.url = f"mqtt://camera:pass%20word%401@127.0.0.1:{self.port}"

    def start(self) -> None:
        assert MOSQUITTO is not None
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._config)], stdout=quiet, stderr=quiet)

        def listens() -> bool:
            with socket.socket() as trial:
                return trial.connect_ex(("127.0.0.1", self.port)) == 0

        until(listens)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)

    @contextlib.contextmanager
    def listener(self) -> Iterator[list[tuple[str, Any]]]:
        """Everything that is published, as (topic, value), the retained first, across the broker's restarts."""
        heard: list[tuple[str, Any]] = []

        def hear(_: object, __: object, message: paho.MQTTMessage) -> None:
            text = message.payload.decode()
            heard.append((message.topic, json.loads(text) if text.startswith("{") else text))

        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"listener {time.monotonic()}", clean_session=False)
        client.username_pw_set("camera", PASSWORD)
        client.on_message = hear
        client.on_connect = lambda *_: client.subscribe("#", qos=1)
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        assert subscribed.wait(10)
        try:
            yield heard
        finally:
            client.disconnect()
            client.loop_stop()


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    folder = tmp_path_factory.mktemp("broker")
    for above in folder.parents[:2]:
        above.chmod(0o755)
    broker = Broker(folder)
    broker.start()
    yield broker
    broker.stop()


def seen(label: str) -> Seen:
    found = Classification(label=label, index=0, score=0.9, top=((label, 0.9),), preprocess_ms=0.1, invoke_ms=1.0)
    frame = Frame(image=np.zeros((4, 4, 3), np.uint8), index=0, captured_at=time.monotonic())
    age = Age(capture_ms=0, queue_ms=0, preprocess_ms=0.1, invoke_ms=1, post_ms=0)
    return Seen(answer=Answer(frame=frame, classification=found, age=age, dropped=0, corrupt=0), label=label)


def an_event(number: int, kind: Any = "seen") -> Event:
    return Event(kind=kind, at=time.monotonic(), label="cat", frame=number)


def events_in(heard: list[tuple[str, Any]]) -> list[int]:
    return [value["frame"] for topic, value in heard.copy() if topic.endswith("/event")]


def test_home_assistant_finds_the_camera(broker: Broker) -> None:
    publisher = Publisher(AppSettings(mqtt=f"{broker.url}/house"), model="pets")
    with broker.listener() as heard:
        base = f"house/{publisher.node}"
        until(lambda: (f"{base}/availability", "online") in heard)
        publisher.take(seen("cat"))
        publisher.tell(an_event(1))
        publisher.tell(an_event(2, "lost"))
        until(lambda: events_in(heard) == [1, 2])
        states = [value for topic, value in heard if topic == f"{base}/state"]
        assert [(state["label"], state["source"]) for state in states][-2:] == [("cat", "ok"), ("none", "lost")]
        configs = {topic.split("/")[3]: value for topic, value in heard if topic.startswith("homeassistant/")}
        assert {"label", "score", "fps", "age_p95_ms", "source", "event"} <= set(configs)
        assert len({config["unique_id"] for config in configs.values()}) == len(configs)
        assert {config["availability_topic"] for config in configs.values()} == {f"{base}/availability"}
        assert configs["label"]["value_template"] == "{{ value_json.label }}"
        assert "seen" in configs["event"]["event_types"]
        event = next(value for topic, value in heard if topic == f"{base}/event")
        assert event["event_type"] == "seen"
        publisher.close()
        until(lambda: heard[-1] == (f"{base}/availability", "offline"))
    with broker.listener() as later:  # what Home Assistant finds when it starts after us
        until(lambda: any("/label/config" in topic for topic, _ in later))
        assert PASSWORD not in str(later)


def test_events_wait_for_a_broker_that_is_away(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    with broker.listener() as heard:
        broker.stop()
        publisher = Publisher(AppSettings(mqtt=broker.url), model="pets", quiet=False)
        for number in range(SPOOL + 5):
            publisher.tell(an_event(number))
        until(lambda: "does not answer" in capsys.readouterr().err)
        assert publisher.lost == 5
        broker.start()
        until(lambda: len(events_in(heard)) == SPOOL)
        assert events_in(heard) == list(range(5, SPOOL + 5))
        broker.stop()
        until(lambda: not publisher._client.is_connected())
        publisher.tell(an_event(2000))
        broker.start()
        until(lambda: 2000 in events_in(heard))
    publisher.close()
    said = capsys.readouterr().err
    assert "takes events, 5 are lost" in said
    assert "is gone; up to 1000 events wait for it" in said
    assert "pass" not in said


def test_a_wrong_password_is_one_sentence_without_it(
    broker: Broker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"mqtt://camera@127.0.0.1:{broker.port}"
    monkeypatch.setenv("EDGESDK_MQTT_PASSWORD", "secretly")
    publisher = Publisher(AppSettings(mqtt=url), model="pets", quiet=False)
    said = ""

    def refused() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "refuses: Not authorized" in said

    until(refused)
    publisher.close()
    assert "secretly" not in said
    assert len(said.splitlines()) == 1
    monkeypatch.setenv("EDGESDK_MQTT_PASSWORD", PASSWORD)
    publisher = Publisher(AppSettings(mqtt=url), model="pets")
    until(publisher._client.is_connected)
    publisher.close()


def test_an_event_that_is_just_being_sent_does_not_leave_the_full_spool() -> None:
    publisher = Publisher(AppSettings(mqtt="mqtt://127.0.0.1:9"), model="pets")
    for number in range(SPOOL):
        publisher.tell(an_event(number))
    first = publisher._spool[0]
    with publisher._flushing:  # as while it is sent, by the client's thread
        telling = threading.Thread(target=publisher.tell, args=(an_event(SPOOL),))
        telling.start()
        telling.join(0.3)
        assert publisher._spool[0] == first
    telling.join()
    assert (len(publisher._spool), publisher.lost) == (SPOOL, 1)
    publisher.close()


def test_closing_does_not_wait_for_a_broker_that_is_not_there() -> None:
    publisher = Publisher(AppSettings(mqtt="mqtt://127.0.0.1:9"), model="pets")
    time.sleep(0.3)
    start = time.monotonic()
    publisher.close()
    assert time.monotonic() - start < 3


def test_what_waited_is_sent_at_the_end_where_the_broker_is_back(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is looked for a last time, however long the pause between two looks has become."""
    with broker.listener() as heard:
        broker.stop()
        publisher = Publisher(AppSettings(mqtt=broker.url), model="pets", quiet=False)
        publisher._client.reconnect_delay_set(60, 60)
        until(lambda: "does not answer" in capsys.readouterr().err)
        publisher.tell(an_event(7))
        broker.start()
        publisher.close()
        until(lambda: events_in(heard) == [7])
    broker.stop()
    publisher = Publisher(AppSettings(mqtt=broker.url), model="pets", quiet=False)
    publisher.tell(an_event(8))
    publisher.close()
    assert "1 events did not reach the broker" in capsys.readouterr().err
    broker.start()


def test_what_a_broker_did_not_confirm_is_told(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """It froze, or the network is cut: nobody said goodbye, so that events seem to leave."""
    publisher = Publisher(AppSettings(mqtt=broker.url), model="pets", quiet=False)
    until(publisher._client.is_connected)
    publisher.tell(an_event(1))
    until(lambda: not publisher._spool and not publisher._client._out_messages)
    broker._process.send_signal(signal.SIGSTOP)
    try:
        publisher.tell(an_event(2))
        publisher.tell(an_event(3))
        publisher.close()
    finally:
        broker._process.send_signal(signal.SIGCONT)
    assert "2 events did not reach the broker" in capsys.readouterr().err
