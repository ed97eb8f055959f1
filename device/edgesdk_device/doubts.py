"""What makes a measurement doubtful, each with its cause and its fix."""

from edgesdk.measurement import Measurement

SPREAD = 1.5  # p90 over p50 above which something else must have run
IDLE_SHARE = 0.9  # of a CPU that one thread gets on an idle machine
SLOWER_CLOCK = 0.9
DRIFT = 1.25  # of a fixed piece of work, slowest over fastest quarter


def find_doubts(row: Measurement, *, quick: bool) -> tuple[str, ...]:
    """One sentence each."""
    found = []
    if row.max_difference is None:
        found.append("the contract holds no golden outputs: what these figures compute is not proved")
    if quick:
        found.append("quick: fewer runs than a figure to publish needs; leave out --quick for that")
    if row.delegated_nodes == 0:
        found.append("no operation ran on XNNPACK: the runtime's slow reference kernels did; use --backend litert")
    share = row.cpu_over_wall
    if share is not None and row.threads > 1 and share < 0.5 * row.threads:
        found.append(
            f"{row.threads} threads used {share:.1f} CPUs: the model is too small for them or the machine "
            "is busy; use --threads 1, or stop what else runs"
        )
    return tuple(found + _machine(row))


def _machine(row: Measurement) -> list[str]:
    found = []
    now = row.after
    if now is not None and now.governor not in ("", "performance"):
        found.append(
            f"the CPU governor is {now.governor}: set it to performance (cpupower frequency-set -g performance)"
        )
    if now is not None and now.throttled:
        found.append(
            f"the board held back ({', '.join(now.throttled)}): cool it or give it a stronger power supply, and "
            "measure again"
        )
    clocks = [part.clock_mhz for part in (row.before, row.after) if part is not None and part.clock_mhz]
    if len(clocks) == 2 and clocks[1] < SLOWER_CLOCK * clocks[0]:
        found.append(
            f"the clock fell from {clocks[0]:.0f} to {clocks[1]:.0f} MHz meanwhile: it grew hot or saves power; cool "
            "it, fix the governor, and measure again"
        )
    share = row.cpu_over_wall
    if share is not None and row.threads == 1 and row.family == "cpu" and share < IDLE_SHARE:
        found.append(
            f"one thread got {100 * share:.0f} % of a CPU{_load(row)}: something else uses this machine; "
            "stop it and measure again"
        )
    elif row.invoke_ms.p90 > SPREAD * row.invoke_ms.p50:
        found.append(
            f"p90 is {row.invoke_ms.p90 / row.invoke_ms.p50:.1f} times p50{_load(row)}: something else uses this "
            "machine; stop it and measure again"
        )
    ordered = sorted(row.yardstick_ms)
    quarter = len(ordered) // 4
    if quarter and ordered[-quarter] > DRIFT * ordered[quarter - 1]:
        found.append(
            f"a fixed piece of work took {ordered[quarter - 1]:.2f} to {ordered[-quarter]:.2f} ms meanwhile: a noisy "
            "neighbour or a clock that moves; measure on an idle machine with a fixed clock"
        )
    return found


def _load(row: Measurement) -> str:
    return "" if row.after is None else f" (load {row.after.load:.1f})"
