"""The self-test before any attack: the clean accuracy beside the figure that is known of the backbone's weights.

A wrong normalisation, resize or label map costs accuracy silently, and every figure after it means nothing.
"""

from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn

from codes import Backbone
from measures import Rate

__all__ = ["report_clean_accuracy"]

PHOTOGRAPHS = 20  # embedded ones


def report_clean_accuracy(accuracy: Rate, backbone: Backbone, embedded: bool, undefined: str, reference: str) -> None:
    """Print the clean accuracy, as a warning where it is lower than it should be. A collective.

    Args:
        accuracy: of the clean images of this process.
        backbone: knows what to expect of itself.
        embedded: whether the images are the embedded photographs.
        undefined: why labels cannot be held against predictions, "" if they can.
        reference: what counts as right.
    """
    measured = {name: value.item() for name, value in accuracy.compute().items()}
    if undefined:
        rank_zero_info(
            f"clean accuracy: not defined, since the backbone's {undefined}; what counts as right is {reference}"
        )
        return
    text = f"clean accuracy {measured['rate']:.1%} (95 % interval {measured['low']:.1%} to {measured['high']:.1%})"
    expected, photographs = backbone.expected_accuracy, backbone.expected_photographs
    advice = "check labels, resizing and normalisation before believing any attack"
    if embedded and measured["trials"] == PHOTOGRAPHS and photographs is not None:
        right = round(measured["rate"] * PHOTOGRAPHS)
        known = f"{right} of the {PHOTOGRAPHS} embedded photographs, '{backbone.name}' gets {photographs}"
        if right < photographs - 1:  # one may turn with a CPU's rounding
            rank_zero_warn(f"{text}: {known}: {advice}")
        else:
            rank_zero_info(f"{text}: {known}")
    elif expected is not None and measured["high"] < expected:
        rank_zero_warn(f"{text} is below the {expected:.1%} that '{backbone.name}' is known for: {advice}")
    else:
        rank_zero_info(text + (f", expected about {expected:.1%}" if expected is not None else ""))
