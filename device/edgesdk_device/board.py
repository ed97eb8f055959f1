"""Which machine this is, and what on it disturbs a measurement."""

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgesdk.measurement import Conditions

#: The lowest bits of the firmware's word, in this order (Raspberry Pi documentation, vcgencmd get_throttled).
THROTTLE_BITS = ("under-voltage", "frequency capped", "throttled", "too hot")


def board_name() -> str:
    """The machine in words: "Raspberry Pi 4 Model B Rev 1.4, 4 cores", or the processor's name."""
    model = _read(Path("/proc/device-tree/model")) or _cpu_name() or platform.processor() or platform.machine()
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def governor() -> str:
    """The CPU frequency governor, "" where the system does not say."""
    return _read(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"))


def temperature_c() -> float | None:
    """The hottest thermal zone in degrees Celsius; None where the system does not say."""
    found = [_read(path) for path in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    values = [int(text) / 1000 for text in found if text.lstrip("-").isdecimal()]
    return max(values, default=None)


def throttled() -> tuple[str, ...] | None:
    """What holds a Raspberry Pi back just now: "under-voltage", "frequency capped", "throttled", "too hot".

    None on other boards.
    """
    text = _read(Path("/sys/devices/platform/soc/soc:firmware/get_throttled"))
    try:
        bits = int(text, 16)
    except ValueError:
        return None
    return tuple(name for bit, name in enumerate(THROTTLE_BITS) if bits >> bit & 1)


def clock_mhz() -> float | None:
    """The clock of the fastest core now, in MHz; None where the system does not say."""
    paths = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    found = [int(text) / 1000 for text in map(_read, paths) if text.isdecimal()]
    if not found:
        lines = _read(Path("/proc/cpuinfo")).splitlines()
        found = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return max(found, default=None)


def conditions() -> "Conditions":
    """What the machine is like now."""
    from edgesdk.measurement import Conditions  # values that a cold start need not pay for

    return Conditions(
        governor=governor(),
        clock_mhz=clock_mhz(),
        temperature_c=temperature_c(),
        throttled=throttled(),
        load=round(load_average(), 2),
    )


def load_average() -> float:
    """Processes that wanted a CPU during the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def peak_rss_bytes() -> int:
    """The most memory this process ever held."""
    for line in _read(Path("/proc/self/status")).splitlines():
        if line.startswith("VmHWM:"):  # getrusage would give the parent's peak where that was larger before exec
            return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _cpu_name() -> str:
    for line in _read(Path("/proc/cpuinfo")).splitlines():
        if line.lower().startswith("model name"):
            return line.split(":", 1)[1].strip()
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
