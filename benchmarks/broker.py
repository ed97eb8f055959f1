"""A real mosquitto that goes away and comes back, and everything it was told meanwhile."""

import asyncio
import json
import shutil
import socket
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/opt/homebrew/sbin")
Key = tuple[str, str, int]


class Broker:
    """On loopback, with a listener whose messages it keeps over its own restarts.

    Attributes:
        url: for `edgesdk run --mqtt`.
        heard: (kind, label, frame) of each event -> how often it came.
        restarts: how often it was away.
    """

    def __init__(self, folder: Path) -> None:
        if MOSQUITTO is None:
            raise SystemExit("mosquitto is not installed: apt-get install mosquitto")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\n"
            f"persistence_location {folder}/\nmax_queued_messages 0\n"
        )
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.heard: Counter[Key] = Counter()
        self.restarts = 0
        self.start()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        subscribed = threading.Event()
        self._client.on_message = self._hear
        self._client.on_connect = lambda *_: self._client.subscribe("edgesdk/+/event", qos=1)
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        if not subscribed.wait(10):
            raise SystemExit("the broker takes no listener")

    def _hear(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        self.heard[key_of(json.loads(message.payload))] += 1

    def start(self) -> None:
        """Begin to listen."""
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([MOSQUITTO or "", "-c", str(self._config)], stdout=quiet, stderr=quiet)
        for _ in range(500):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            threading.Event().wait(0.02)
        raise SystemExit("mosquitto does not start")

    def stop(self) -> None:
        """Be away."""
        self._process.terminate()
        self._process.wait(20)

    async def come_and_go(self, every_s: float, away_s: float) -> None:
        """Away for so long, again and again; there when it is cancelled."""
        while True:
            await asyncio.sleep(every_s - away_s)
            try:
                self.stop()
                self.restarts += 1
                await asyncio.sleep(away_s)
            finally:
                self.start()

    def close(self) -> None:
        """Stop both."""
        self._client.disconnect()
        self._client.loop_stop()
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def key_of(event: dict[str, Any]) -> Key:
    """What tells one event from another."""
    return event["event"], event.get("label", ""), event.get("frame", -1)


def written(path: Path) -> set[Key]:
    """The decided events in a file of `--events` and those that it became."""
    lines = [line for one in path.parent.glob(f"{path.name}*") for line in one.read_text().splitlines()]
    return {key_of(event) for event in map(json.loads, lines) if event["event"] != "frame"}
