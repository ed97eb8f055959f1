"""What is written while a network learns: history.csv and, where it is asked for, a log for TensorBoard."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import tensorflow as tf

from edgesdk.atomic import write_text
from edgesdk_train.stage import Epoch

HISTORY_FILE = "history.csv"
TENSORBOARD_FOLDER = "tensorboard"


class EpochLog:
    """Writes into a run folder after each epoch."""

    def __init__(self, folder: Path, *, tensorboard: bool) -> None:
        self._folder = folder
        self._writer = tf.summary.create_file_writer(str(folder / TENSORBOARD_FOLDER)) if tensorboard else None

    def write(self, rows: Sequence[Epoch]) -> None:
        """The whole history.csv anew; of the last row, what TensorBoard shows."""
        write_csv(self._folder, rows)
        if self._writer is None:
            return
        row, step = rows[-1], len(rows)
        shown = {"loss": row.loss, "top1": row.top1, "val_loss": row.val_loss, "val_top1": row.val_top1}
        with self._writer.as_default():
            for name, value in shown.items():
                # As tf.summary.scalar, which only works where TensorBoard itself is installed.
                metadata = tf.compat.v1.SummaryMetadata(
                    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars")
                )
                tf.summary.write(f"{row.stage}/{name}", tf.constant(value, tf.float32), step, metadata)
        self._writer.flush()


def write_csv(folder: Path, rows: Sequence[Epoch]) -> None:
    """history.csv, in one step."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(Epoch.__dataclass_fields__))
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_text(folder / HISTORY_FILE, text.getvalue())
