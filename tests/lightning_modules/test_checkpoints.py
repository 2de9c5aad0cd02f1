import warnings

import pytest
from torch import nn

from codes import Backbone, Preprocessing
from lightning_modules.checkpoints import check_origin, warn_if_unfinished


def test_a_checkpoint_belongs_to_one_network():
    backbone, other = (Backbone("tiny", nn.Linear(2, 1), Preprocessing()) for _ in range(2))
    check_origin({"backbone_digest": backbone.digest}, backbone)
    message = (
        f"the weights of 'tiny' here have digest {backbone.digest[:12]}, the checkpoint expects {other.digest[:12]}; "
        "give the same backbone, weights and seed"
    )
    with pytest.raises(ValueError, match=message):
        check_origin({"backbone_digest": other.digest}, backbone)
    with pytest.raises(ValueError, match=r"is no checkpoint of CodeSOM: give the last\.ckpt of a fit"):
        check_origin({}, backbone)


def test_an_unfinished_fit_names_its_epochs():
    with pytest.warns(UserWarning, match=r"of an unfinished fit: 1 of 3 epochs are done; fit --ckpt_path goes on"):
        warn_if_unfinished(12, 12, 36)
    with pytest.warns(UserWarning, match=r"0\.333 of 2\.67 epochs"):
        warn_if_unfinished(4, 12, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_unfinished(36, 12, 36)
        warn_if_unfinished(0, 0, 0)
