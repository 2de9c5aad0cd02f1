import re
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from callbacks.pictures import READING, add_picture, figure_tag
from tests.callbacks.events import pictures

DOCS = Path(__file__).parents[2] / "docs"


def test_a_picture_comes_with_its_words(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    with SummaryWriter(str(tmp_path)) as writer:
        add_picture(writer, "4_growth/density/layer1.0", pixels, 3)
        writer.close()
        add_picture(writer, "4_growth/density/layer1.0", pixels[::-1], 8)  # a stage after the writer was closed
    first, second = sorted(pictures(tmp_path)["4_growth/density/layer1.0"].items(), key=lambda item: item[0])
    assert (first[0], second[0]) == (3, 8)
    assert np.array_equal(first[1], pixels)
    events = EventAccumulator(str(tmp_path)).Reload()
    words = events.SummaryMetadata("4_growth/density/layer1.0").summary_description
    assert words == READING["4_growth/density"]


def test_every_documented_figure_has_its_place():
    figures = re.findall(r"^### (\w+)(?:_<depth>)?$", (DOCS / "figures.md").read_text(), re.M)
    attacks = re.findall(
        r"^\| `(\w+?)(?:_<attack>)?` \|", (DOCS / "attacks.md").read_text().split("## Figures")[1], re.M
    )
    assert len(figures) > 9
    assert len(attacks) == 7
    assert {figure_tag(name) for name in figures + attacks} == {
        tag for tag in READING if not tag.startswith("4_growth")
    }
    assert figure_tag("separation_pgd_l2@x") == "3_attacks/separation_pgd_l2@x"


def test_a_figure_without_a_place_is_refused():
    with pytest.raises(ValueError, match="the figure 'portrait' has no place in TensorBoard: add it to READING"):
        figure_tag("portrait")


def test_maps_come_first_of_all():
    assert list(READING) == sorted(READING, key=lambda tag: tag[0])
    assert min(READING) == "1_maps/maps"
