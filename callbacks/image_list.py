"""Which image is which: images.parquet, one row a sample of every split that a run has visited.

Columns: split and id, which name a sample in the run's other files; label and class, the label's name; path, relative
to data.root or the file name of an embedded photograph; view, which crop of the photograph (null: the whole image).
"""

from pathlib import Path
from typing import Any

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
        dataset: the split's dataset, with `files` and, if it crops each of them several times, `views`; or with
            `listing`, the images.parquet of a store of codes.
        data: the data module, with `root` and `classes`.
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
    views = getattr(dataset, "views", None)
    files = [file for file in dataset.files for _ in range(views or 1)]
    columns = {
        "split": [split] * len(files),
        "id": [file.id for file in files] if views is None else list(range(len(files))),
        "label": [file.label for file in files],
        "class": [data.classes[file.label] for file in files],
        "path": [str(file.path.relative_to(data.root)) if data.root else file.path.name for file in files],
        "view": [None if views is None else number % views for number in range(len(files))],
    }
    return pa.table(columns, schema=SCHEMA)
