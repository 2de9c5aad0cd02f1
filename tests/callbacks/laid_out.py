"""What the tests of figures share: tables of known counts, and whether a figure is laid out well."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Hits = dict[str, np.ndarray]

LONG = "features.denseblock3.denselayer12.conv2"


def table(*counts: tuple[int, int, int, int], classes: int = 3, rows: int = 3, cols: int = 4) -> np.ndarray:
    hits = np.zeros((classes, rows, cols), np.int64)
    for label, row, col, count in counts:
        hits[label, row, col] = count
    return hits


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def assert_laid_out(figure: Figure) -> None:
    """Nothing is blank, no text leaves the figure, no title covers another."""
    image = pixels(figure)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 5
    texts = [figure._suptitle] if figure._suptitle else []
    panels = [axes.get_tightbbox() for axes in figure.axes]
    for legend in figure.legends:
        texts += legend.get_texts()
        assert not any(legend.get_window_extent().overlaps(panel) for panel in panels), "a legend outside the panels"
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
    for text in (text for text in texts if text.get_text()):
        box = text.get_window_extent()
        assert figure.bbox.x0 - 1 <= box.x0, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert figure.bbox.y0 - 1 <= box.y0, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    titles = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    if figure._suptitle:
        titles.append(figure._suptitle.get_window_extent())
    for index, box in enumerate(titles):
        assert not any(box.overlaps(other) for other in titles[:index])
    for axes in figure.axes:
        assert axes.has_data() or not axes.get_visible(), "no empty panels"


def counted(depths: tuple[str, ...], classes: int, rows: int, cols: int, images: int, seed: int = 0) -> Hits:
    """Random counts (classes, rows, cols) by depth, the same number of images of each class everywhere."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, rows * cols, (len(depths), classes, images))
    count = np.array([[np.bincount(units, minlength=rows * cols) for units in each] for each in draws])
    tables = count.reshape(len(depths), classes, rows, cols) if classes else np.zeros((len(depths), 0, rows, cols), int)
    return dict(zip(depths, tables, strict=True))


def absent(hits: Hits) -> Hits:
    """Without the images of the second class."""
    return {depth: each * (np.arange(len(each)) != 1)[:, None, None] for depth, each in hits.items()}


def collapsed(hits: Hits) -> Hits:
    """All BMUs on the last unit."""
    found = {depth: np.zeros_like(each) for depth, each in hits.items()}
    for depth, each in hits.items():
        found[depth][:, -1, -1] = each.sum((1, 2))
    return found


TWO = ("CL1", "CL2")
# What no picture may fail on, by name: tables (classes, rows, cols) by depth.
TABLES: dict[str, Hits] = {
    "two classes at four depths": counted(("CL1", "CL2", "CL3", "CL4"), 2, 10, 12, 30),
    "twenty classes, one depth": counted((LONG,), 20, 3, 4, 9),
    "six depths, a wide lattice": counted(tuple(f"{LONG}.{k}" for k in range(6)), 4, 2, 20, 8),
    "a tall lattice": counted(TWO, 9, 20, 3, 8),
    "a single unit": counted(TWO, 3, 1, 1, 4),
    "one image of one class": counted(("CL1",), 1, 3, 4, 1),
    "one image a class": counted(TWO, 5, 3, 4, 1),
    "a class without images": absent(counted(TWO, 3, 3, 4, 6)),
    "all on one unit": collapsed(counted(TWO, 3, 3, 4, 6)),
    "a thousand classes with one image": counted(TWO, 1000, 10, 12, 1),
    "no images": counted(TWO, 3, 3, 4, 0),
}
NAMES = ["a class with a long name, and another", "fish", *(f"n{k:08d}" for k in range(998))]
