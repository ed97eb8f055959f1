"""Events and state for a broker, and for Home Assistant, which finds the camera there by itself.

PREFIX/NODE/availability   online or offline, retained
PREFIX/NODE/state          label, score, fps, age_p95_ms, temperature_c, source; retained, at most once a second
PREFIX/NODE/event          one message an event
"""

import hashlib
import json
import os
import platform
import re
import threading
import time
from collections import deque
from typing import Any

from edgesdk import __version__
from edgesdk.errors import MissingPackageError
from edgesdk.progress import remark
from edgesdk_device import board
from edgesdk_device.app.decisions import KINDS, Event
from edgesdk_device.app.events import event_to_json
from edgesdk_device.app.meter import Meter
from edgesdk_device.app.seen import Seen
from edgesdk_device.app.settings import AppSettings, parse_broker

try:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError as missing:
    raise MissingPackageError("paho-mqtt", "app", "publishing to a broker") from missing

PASSWORD_VARIABLE = "EDGESDK_MQTT_PASSWORD"
SPOOL = 1000
STATE_EVERY_S = 1.0
GOODBYE_S = 2.0
DISCOVERY = "homeassistant"
NONE = "none"
#: What Home Assistant shows: kind of entity, its name, and the rest of its configuration.
ENTITIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("sensor", "label", {"icon": "mdi:tag-outline"}),
    ("sensor", "score", {"unit_of_measurement": "%", "value_template": "{{ (value_json.score * 100) | round(1) }}"}),
    ("sensor", "fps", {"unit_of_measurement": "fps", "entity_category": "diagnostic"}),
    ("sensor", "age_p95_ms", {"unit_of_measurement": "ms", "entity_category": "diagnostic"}),
    (
        "sensor",
        "temperature_c",
        {"unit_of_measurement": "°C", "device_class": "temperature", "entity_category": "diagnostic"},
    ),
    ("binary_sensor", "source", {"device_class": "connectivity", "payload_on": "ok", "payload_off": "lost"}),
)


class Publisher:
    """Publishes to a broker, present or not: it is tried again and again, and the last 1000 events wait for it.

    Args:
        settings: `mqtt`; a password that the URL does not name is taken from EDGESDK_MQTT_PASSWORD.
        model: the classifier's name.

    Attributes:
        node: what tells this app from others: host and source.
        lost: events that left the full spool.
    """

    def __init__(self, settings: AppSettings, *, model: str, quiet: bool = True) -> None:
        assert settings.mqtt is not None
        self._broker = broker = parse_broker(settings.mqtt)
        host = platform.node() or "edgesdk"
        source = hashlib.sha256(settings.source.encode()).hexdigest()[:6]
        self.node = re.sub(r"[^A-Za-z0-9_-]", "_", f"{host}_{source}")
        self.lost = 0
        self._device = {"identifiers": [self.node], "name": f"{model} on {host}", "model": model}
        self._device |= {"manufacturer": "edgesdk", "sw_version": __version__}
        self._base = f"{broker.prefix}/{self.node}"
        self._quiet = quiet
        self._said = ""
        self._taken = False  # whether the broker let us in
        self._spool: deque[str] = deque()
        self._sent: set[int] = set()  # events on their way, which the broker has not confirmed
        self._confirmed: deque[int] = deque()  # of the client's thread, which must not wait for a lock of ours
        self._flushing = threading.Lock()  # the app's thread and the client's
        self._meter = Meter()
        self._state: dict[str, Any] = {"label": NONE, "score": 0.0, "source": "ok", "temperature_c": None}
        self._state |= {"fps": 0.0, "age_p95_ms": 0.0}
        self._state_at = float("-inf")
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"edgesdk_{self.node}")
        if broker.user is not None:
            client.username_pw_set(broker.user, broker.password or os.environ.get(PASSWORD_VARIABLE))
        if broker.tls:
            client.tls_set()
        client.will_set(f"{self._base}/availability", "offline", qos=1, retain=True)
        client.max_queued_messages_set(2 * SPOOL)  # a full spool and what is on its way
        client.reconnect_delay_set(1, 30)
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        client.on_publish = lambda _, __, number, *___: self._confirmed.append(number)
        client.connect_async(broker.host, broker.port, keepalive=30)
        client.loop_start()

    def take(self, seen: Seen) -> None:
        """Publish the state where the label changed, or a second went by."""
        now = time.monotonic()
        self._meter.add(now, seen.answer.age_ms)
        label = seen.label or NONE
        if label != self._state["label"] or now - self._state_at >= STATE_EVERY_S:
            pace = self._meter.pace(now)
            self._state |= {
                "label": label,
                "score": round(seen.answer.score, 4),
                "temperature_c": board.temperature_c(),
            }
            self._state |= {"fps": round(pace.fps, 1), "age_p95_ms": round(pace.age_p95_ms, 1)}
            self._publish_state(now)

    def tell(self, event: Event) -> None:
        """Publish an event, or keep it until the broker is back."""
        facts = event_to_json(event)
        with self._flushing:  # the oldest may just be on its way, and what leaves after it would be another
            if len(self._spool) >= SPOOL:
                self._spool.popleft()
                self.lost += 1
            self._spool.append(json.dumps({"event_type": event.kind, **facts}, ensure_ascii=False))
        if event.kind in ("lost", "stalled", "recovered"):
            self._state["source"] = "ok" if event.kind == "recovered" else "lost"
            if event.kind != "recovered":
                self._state["label"] = NONE
            self._publish_state(time.monotonic())
        else:
            self._flush()

    def close(self) -> None:
        """Say that this camera is offline, and stop the thread."""
        if self._waiting and not self._client.is_connected():
            self._look_again()
        if self._client.is_connected():
            self._flush()
            goodbye = self._say_offline()
            if goodbye.rc == paho.MQTT_ERR_SUCCESS:
                goodbye.wait_for_publish(GOODBYE_S)
        self._client.disconnect()
        self._client.loop_stop()
        if waiting := self._waiting:
            remark(f"{waiting} events did not reach the broker, which is away", quiet=self._quiet)

    def _look_again(self) -> None:
        """Whether the broker is back, which the thread asks twice a minute only; if so, tell what waited."""
        client = self._client
        client.loop_stop()
        end = time.monotonic() + GOODBYE_S
        try:
            client.reconnect()
        except (OSError, ValueError):  # still away, or a name that nobody knows
            return
        goodbye = None
        while time.monotonic() < end and client.loop(0.05) == paho.MQTT_ERR_SUCCESS:
            if goodbye is None and client.is_connected() and not self._waiting:
                goodbye = self._say_offline()
            if goodbye is not None and goodbye.is_published():
                break
        client.disconnect()

    def _say_offline(self) -> paho.MQTTMessageInfo:
        return self._client.publish(f"{self._base}/availability", "offline", qos=1, retain=True)

    def _publish_state(self, now: float) -> None:
        self._state_at = now
        if self._client.is_connected():
            self._client.publish(f"{self._base}/state", json.dumps(self._state, ensure_ascii=False), retain=True)
            self._flush()

    def _flush(self) -> None:
        with self._flushing:
            self._strike_out()
            while self._spool and self._client.is_connected():
                sent = self._client.publish(f"{self._base}/event", self._spool[0], qos=1)
                if sent.rc == paho.MQTT_ERR_QUEUE_SIZE:
                    return
                self._spool.popleft()
                self._sent.add(sent.mid)

    def _strike_out(self) -> None:
        while self._confirmed:
            self._sent.discard(self._confirmed.popleft())

    @property
    def _waiting(self) -> int:
        """Events that the broker does not have, as far as we know."""
        with self._flushing:
            self._strike_out()
            return len(self._spool) + len(self._sent)

    def _connected(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if reason.is_failure:
            self._say(f"refuses: {reason}; {self._promise()}")
            return
        self._taken = True
        self._client.publish(f"{self._base}/availability", "online", qos=1, retain=True)
        for kind, name, more in ENTITIES:
            if name != "temperature_c" or board.temperature_c() is not None:
                self._announce(kind, name, {"state_topic": f"{self._base}/state", **more})
        self._announce("event", "event", {"state_topic": f"{self._base}/event", "event_types": list(KINDS)})
        self._publish_state(time.monotonic())
        self._say(f"takes events{f', {self.lost} are lost' if self.lost else ''}")
        self._flush()

    def _announce(self, kind: str, name: str, more: dict[str, Any]) -> None:
        config = {
            "name": name.removesuffix("_ms").removesuffix("_c").replace("_", " "),
            "unique_id": f"{self.node}_{name}",
            "availability_topic": f"{self._base}/availability",
            "device": self._device,
            **more,
        }
        if kind != "event":
            config.setdefault("value_template", f"{{{{ value_json.{name} }}}}")
        topic = f"{DISCOVERY}/{kind}/{self.node}/{name}/config"
        self._client.publish(topic, json.dumps(config, ensure_ascii=False), qos=1, retain=True)

    def _not_connected(self, *_: Any) -> None:
        self._say(f"does not answer; {self._promise()}")

    def _disconnected(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if reason.is_failure and self._taken:
            self._say(f"is gone; {self._promise()}")
        self._taken = False

    def _promise(self) -> str:
        return f"up to {SPOOL} events wait for it"

    def _say(self, text: str) -> None:
        if text != self._said:  # once, not at every attempt
            self._said = text
            remark(f"the broker {self._broker.host}:{self._broker.port} {text}", quiet=self._quiet)
