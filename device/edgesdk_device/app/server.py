"""The web page: served by a thread of its own, which takes the newest frame whenever somebody wants to see it."""

import asyncio
import json
import socket
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any

from edgesdk_device.app.settings import AppSettings, parse_address
from edgesdk.errors import EdgeSDKError, MissingPackageError, ServeError
from edgesdk_device.app.collect import check_label, save_frame
from edgesdk_device.app.decisions import Event
from edgesdk_device.app.events import event_to_json
from edgesdk_device.app.look import cut
from edgesdk_device.app.meter import Meter
from edgesdk_device.app.picture import Facts, frame_message, small_jpeg
from edgesdk_device.app.seen import Seen

try:
    from aiohttp import web

    from edgesdk_device.app.guard import Guard, add_headers
    from edgesdk_device.app.viewers import Viewer
except ImportError as error:
    raise MissingPackageError("aiohttp", "app", "the web page") from error
