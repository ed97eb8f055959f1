"""The verbs, in Python and on the command line under the same names: each spans the stages it needs.

Nothing heavy is imported before a verb is called, and TensorFlow only by `train` and `convert`.
"""

from edgesdk.grid.choosing import choose
from edgesdk.reports.runreport import InspectedRun
from edgesdk.verbs.conversion import convert
from edgesdk.verbs.inspecting import Inspected, inspect, inspect_run
from edgesdk.verbs.learning import train
from edgesdk.verbs.measure import bench, bench_android, bench_fleet, bench_on
from edgesdk.verbs.running import doctor, run, verify

__all__ = [
    "Inspected",
    "InspectedRun",
    "bench",
    "bench_android",
    "bench_fleet",
    "bench_on",
    "choose",
    "convert",
    "doctor",
    "inspect",
    "inspect_run",
    "run",
    "train",
    "verify",
]
