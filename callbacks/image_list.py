"""Which image is which: images.parquet, one row a sample of every split that a run has visited.

Columns: split and id, which name a sample in the run's other files; label and class, the label's name; path, relative
to data.root, or what the source calls an image; view, which crop of a photograph (null: the whole image).
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from callbacks.run_folder import atomic

__all__ = ["merge_images"]

SCHEMA = pa.schema(
    {
        "split": pa.string(),
        "id": pa.int64(),
        "label": pa.int64(),
        "class": pa.string(),
        "path": pa.string(),
        "view": pa.int32(),
    }
)


def merge_images(folder: Path, split: str, dataset: Any, data: Any) -> None:
    """Put the samples of a split into images.parquet, in place of those that were listed for it before.

    Args:
        folder: the run's folder.
        split: "train", "val" or "test".
        dataset: the split's dataset, with `samples` and, if it crops each of them several times, `views`; or with
            `listing`, the images.parquet of a store of codes.
        data: the data module, with `classes`.
    """
    if listing := getattr(dataset, "listing", None):
        split = dataset.split  # maps may be fit on another than "train"
        table = pq.read_table(listing, filters=[("split", "==", split)])
    else:
        table = _rows(split, dataset, data)
    path = folder / "images.parquet"
    if path.exists():
        before = pq.read_table(path)
        table = pa.concat_tables([before.filter(pc.field("split") != split), table])
    with atomic(path) as part:
        pq.write_table(table.sort_by([("split", "ascending"), ("id", "ascending")]), part)


def _rows(split: str, dataset: Any, data: Any) -> pa.Table:
    samples, views = dataset.samples, getattr(dataset, "views", None)
    labels = np.repeat(samples.labels, views or 1)
    paths = pa.array(samples.printable_names(), pa.string())
    rows = np.arange(len(labels))
    columns = {
        "split": pa.repeat(pa.scalar(split), len(labels)),
        "id": samples.ids if views is None else rows,
        "label": labels,
        "class": pa.array(data.classes, pa.string()).take(pa.array(labels)),
        "path": paths.take(pa.array(rows // (views or 1))),
        "view": pa.nulls(len(labels), pa.int32()) if views is None else pa.array(rows % views, pa.int32()),
    }
    return pa.table(columns, schema=SCHEMA)
