"""Pictures in TensorBoard: in groups in the order of reading, each with how to read it behind its information icon.

TensorBoard sorts tags by their names and opens the first two groups alone, so that groups are numbered:

    1_maps/<figure>     where images land on the maps
    2_depths/<figure>   what changes from the input to the output
    3_attacks/<figure>  what attacks do
    4_growth/<picture>/<depth>   the maps while they are fit, one picture a validation

Figures have the names of their files in the run's folder; `<figure>/<depth>` where there is one a depth.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.plugins.image.metadata import create_summary_metadata

from callbacks.run_folder import save_figure

__all__ = ["GROWTH", "READING", "add_picture", "figure_tag", "keep_figure"]

GROWTH = "4_growth"
TORUS = "Rows and columns are those of the map; on a torus opposite edges are neighbours."
READING = {
    "1_maps/maps": (
        "**Top**: share of the images at each unit, bright = 10 times an even spread or more. **Bottom**: each "
        "unit in the colour of its most frequent class, paler where classes share it, white where no image lands. "
        f"{TORUS}"
    ),
    "1_maps/nearest_images": (
        f"At each unit the image nearest to its prototype, of those that land there; grey where none does. {TORUS}"
    ),
    "1_maps/u_matrix": (
        "How far each prototype lies from those of its neighbours, over the map's mean: bright ridges part clusters."
    ),
    "1_maps/unfolded": (
        "**Top**: best matching units of up to 8 classes. **Bottom**: the same on the unfolded map, each image in "
        "the copy nearest to its class's center, so that straight lines are distances on the torus. Disc: center; "
        "hollow disc: ambiguous center; cross: mean over the unfolded copies."
    ),
    "2_depths/bmus_by_class": (
        "A row a depth, a column a class: share of the class's images at each unit, from none (dark) to all of "
        "them (bright), on a scale that shows single images."
    ),
    "2_depths/center_distances": (
        "Distances between the classes' centers on the map, in lattice steps. All depths have the order that "
        "clusters the last one. A question mark is a center that is ambiguous."
    ),
    "2_depths/code_pca": (
        "Codes of up to 500 images, before any map, on their first two principal directions, with the share of "
        "the variance of each."
    ),
    "2_depths/component_planes": (
        "For each statistic of the codes the leading component of its part of the prototypes: where on the map it "
        "is large or small."
    ),
    "2_depths/depth_profile": (
        "The numbers behind the maps by depth. Bars are 95 % intervals over images, bands what 95 % of the nulls "
        "read: **a number within its band says nothing**."
    ),
    "2_depths/losses": (
        "The loss while fitting: raw (left, compares no depths) and over that of a map whose prototypes are all "
        "the mean code (right, does)."
    ),
    "3_attacks/attacked_maps": (
        "**Top** and **middle**: where clean images land, and which class has which unit. **Bottom**: from each clean "
        "image's unit (disc) to that of its attacked version (arrow, the short way); a disc alone stays. "
        f"{TORUS}"
    ),
    "3_attacks/robust_accuracy": (
        "A line an attack; bands are 95 % Wilson intervals, dotted is the accuracy on clean images. A line that "
        "rises with the budget is a mistake."
    ),
    "3_attacks/displacement": (
        "How far attacks carry the best matching unit, in lattice steps. Solid: adversarial; dashed: noise of the "
        "same size. Only the gap between the two is the attack's."
    ),
    "3_attacks/amplification": (
        "How far codes move, over how far noise of the same size moves them, from the input to the output; 1 = no "
        "further than noise."
    ),
    "3_attacks/trajectories": (
        "A row an image: clean, adversarial, their difference enlarged, then each depth's map from the clean unit "
        "(o) to the adversarial one (x); star: center of the class that it is taken for."
    ),
    "3_attacks/flow": (
        "Rows are the class regions that clean images lie in, columns those of their attacked versions; a "
        "diagonal = images stay."
    ),
    "3_attacks/separation": (
        "ROC curves of scores that may tell attacked images from clean ones and noise; the diagonal = no better "
        "than chance. A score that separates an attack which does not know of it is no detector."
    ),
    f"{GROWTH}/density": (
        f"Share of the images at each unit, from none (dark) to 10 times an even spread or more. {TORUS} The "
        "slider goes through the fit."
    ),
    f"{GROWTH}/regions": (
        "Each unit in the colour of its most frequent class, paler where classes share it, white where no image "
        f"lands. {TORUS} The slider goes through the fit."
    ),
    f"{GROWTH}/bmus_by_class": (
        f"Where the images of single classes land, from none (dark) to all of the class (bright). {TORUS} The "
        "slider goes through the fit."
    ),
}


def figure_tag(name: str) -> str:
    """The tag of a figure of the run's folder.

    Args:
        name: of its file, or `<figure>/<depth>`; a name may go on after that of its kind, as `trajectories_pgd` does.

    Raises:
        ValueError: if it has no place in a group.

    >>> figure_tag("nearest_images/CL1"), figure_tag("trajectories_pgd")
    ('1_maps/nearest_images/CL1', '3_attacks/trajectories_pgd')
    """
    for place in READING:
        group, kind = place.split("/")
        if group != GROWTH and name.startswith(kind):
            return f"{group}/{name}"
    raise ValueError(f"the figure '{name}' has no place in TensorBoard: add it to READING in callbacks/pictures.py")


def add_picture(writer: Any, tag: str, pixels: np.ndarray, step: int | None = None) -> None:
    """Show a picture, with the words on how to read it that belong to the beginning of its tag.

    Args:
        writer: a SummaryWriter.
        tag: which begins with one of READING.
        pixels: (H, W, 3) uint8.
        step: the global step.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    words = next(text for place, text in READING.items() if tag.startswith(place))
    # SummaryWriter.add_image takes no words, and TensorBoard's fast loader drops those of its kind of record.
    content = [str(pixels.shape[1]).encode(), str(pixels.shape[0]).encode(), file.getvalue()]
    value = Summary.Value(
        tag=tag,
        metadata=create_summary_metadata(display_name="", description=words),
        tensor=TensorProto(dtype="DT_STRING", tensor_shape={"dim": [{"size": len(content)}]}, string_val=content),
    )
    writer._get_file_writer().add_summary(Summary(value=[value]), step)


def keep_figure(folder: Path, name: str, figure: Figure, writers: Sequence[Any], step: int | None = None) -> None:
    """Save a figure, and show the same in TensorBoard.

    Args:
        folder: the run's.
        name: of its file, or `<figure>/<depth>`, whose file is `<figure>_<depth>`.
        figure: the figure.
        writers: SummaryWriters.
        step: the global step.
    """
    file = name.replace("/", "_")
    save_figure(folder, file, figure)
    if writers:
        with Image.open(folder / "figures" / f"{file}.png") as image:
            pixels = np.asarray(image.convert("RGB"))
        for writer in writers:
            add_picture(writer, figure_tag(name), pixels, step)
