"""What `convert` returns: a frozen value."""

import gzip
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgesdk.contract import Contract


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A file that `convert` wrote, with the facts that its contract holds."""

    path: Path
    contract: Contract
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The keys that scripts rely on (see the README)."""
        measured = self.contract.measured
        proved = measured.accuracy
        return {
            "path": str(self.path),
            "spec": (vars(self.contract.spec) if self.contract.spec else {}) | {"name": self.contract.name},
            "accuracy": None
            if proved is None
            else {
                "float": proved.float,
                "float_tflite": proved.float_tflite,
                "final": proved.final,
                "n": proved.n,
                "ci95": list(proved.ci95),
            },
            "agreement": None if proved is None else proved.agreement,
            "macs": measured.macs,
            "parameters": measured.parameters,
            "size_bytes": self.path.stat().st_size,
            "gzip_bytes": len(gzip.compress(self.path.read_bytes())),  # of the same bytes
            "sparsity": measured.sparsity,
            "recipe": vars(self.contract.recipe),
            "runtimes": [asdict(ran) for ran in self.contract.ran],
            "trained": self.contract.source.trained,
            "seconds": self.seconds,
        }
