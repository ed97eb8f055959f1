"""The camera app: frames in, labels out, decisions, and everybody who wants to know of them."""

from edgesdk_device.app.decisions import Decider, Event
from edgesdk_device.app.loop import CameraApp
from edgesdk_device.app.seen import Seen
from edgesdk_device.app.settings import AppSettings, Decisions, read_app

__all__ = ["AppSettings", "CameraApp", "Decider", "Decisions", "Event", "Seen", "read_app"]
