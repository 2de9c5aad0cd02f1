"""Image classification data sets of the Hugging Face library `datasets`, by their Hub name or from a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.samples import Encoded, ImageSource, Samples, pack_names

__all__ = ["list_huggingface"]

SPLIT_NAMES = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}


@dataclass(frozen=True, eq=False)
class _Rows:
    """Opens images by their ids: rows of a table whose image column is not decoded."""

    rows: Any
    column: str

    def __call__(self, number: int, name: str) -> Encoded:
        """The bytes in the table, or the file that it names."""
        image = self.rows[number][self.column]
        return image["bytes"] or Path(image["path"])

    def state(self, number: int, name: str) -> str:
        """The library's own fingerprint of the table."""
        return str(self.rows._fingerprint)


def list_huggingface(name: str, cache: Path | None, download: bool) -> ImageSource:
    """List a data set with an image column and a class label.

    Args:
        name: its name on the Hub, or a folder that `datasets.load_dataset` or `save_to_disk` knows.
        cache: where the library keeps its files; None for its own place.
        download: whether the Hub may be asked; folders need none.

    Raises:
        ValueError: if the library is missing, or the data set has no images or labels.
        OSError: if the data set cannot be had.
    """
    try:
        import datasets
    except ImportError:
        raise ValueError(
            f"data.source 'huggingface/{name}' needs the package datasets: pip install 'somscope[huggingface]'"
        ) from None
    local = Path(name).is_dir()
    if not local and not download:
        raise FileNotFoundError(
            f"data.source 'huggingface/{name}': there is no folder '{name}', and the Hub is only asked where "
            "data.download is true"
        )
    try:
        if local and any((Path(name) / file).exists() for file in ("dataset_dict.json", "dataset_info.json")):
            loaded = datasets.load_from_disk(name)
            loaded = loaded if isinstance(loaded, dict) else {"train": loaded}
        else:
            loaded = datasets.load_dataset(name, cache_dir=None if cache is None else str(cache))
    except Exception as error:  # of any of the libraries below it
        first = str(error).partition("\n")[0]
        raise OSError(
            f"data.source 'huggingface/{name}' cannot be loaded ({type(error).__name__}: {first}): on a machine "
            "without a network, save_to_disk it elsewhere, copy the folder, and give its path in place of the name"
        ) from error
    features = next(iter(loaded.values())).features
    image, label = (_column(features, name, kind) for kind in (datasets.Image, datasets.ClassLabel))
    splits = {}
    for own, rows in loaded.items():
        if (split := SPLIT_NAMES.get(own)) is None:
            continue
        labels = np.array(rows.with_format("numpy", columns=[label])[:][label], np.int64)
        if not len(labels) or labels.min() < 0:  # a test split whose labels are kept secret
            continue
        names = pack_names([f"{split}/{number}" for number in range(len(rows))])
        undecoded = rows.select_columns([image]).cast_column(image, datasets.Image(decode=False))
        splits[split] = Samples(np.arange(len(rows)), labels, names, _Rows(undecoded, image))
    if not splits:
        raise ValueError(
            f"data.source 'huggingface/{name}' has no labelled train, validation or test split: {', '.join(loaded)}"
        )
    return ImageSource(splits, list(features[label].names))


def _column(features: Any, name: str, kind: type) -> str:
    """The first column of a kind, or the one that is called "label" where there are several."""
    columns = [column for column, feature in features.items() if isinstance(feature, kind)]
    if not columns:
        raise ValueError(
            f"data.source 'huggingface/{name}' has no column of type {kind.__name__}: {', '.join(features)}"
        )
    return "label" if "label" in columns else columns[0]
