"""AutoAttack (Croce and Hein 2020) as a Foolbox attack: four attacks without parameters, the standard of RobustBench.

It comes with an extra, `pip install "somscope[autoattack]"`: its authors' own package, which is large since it brings
an example network. It seeds itself, and chooses what to attack again from the whole batch: so it sees one image at a
time.
"""

import importlib.util
import sys
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from callbacks.attack.foolbox_library import eagerpy, foolbox

__all__ = ["AutoAttack"]

Version = Literal["standard", "plus", "rand", "custom"]
NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


class AutoAttack(foolbox.attacks.base.FixedEpsilonAttack):
    """AutoAttack within a budget; untargeted.

    Args:
        constraint: "linf", "l2" or "l1".
        version: "standard", "plus", "rand" for randomised networks, or "custom" for the attacks that are given.
        attacks: of apgd-ce, apgd-dlr, apgd-t, fab, fab-t and square, for the custom version.

    Raises:
        ImportError: if the extra is not installed.
        ValueError: if the version does not fit the attacks.
    """

    def __init__(
        self, *, constraint: str = "linf", version: Version = "standard", attacks: Sequence[str] | None = None
    ) -> None:
        if importlib.util.find_spec("pyautoattack") is None:
            raise ImportError('it is not installed: pip install "somscope[autoattack]"')
        if (version == "custom") != bool(attacks):
            raise ValueError("version 'custom' needs 'attacks', and no other version takes them")
        self.constraint = constraint
        self.version = version
        self.attacks = list(attacks) if attacks else None

    @property
    def distance(self) -> Any:
        """Foolbox's distance of the norm."""
        return getattr(foolbox.distances, self.constraint)

    def run(self, model: Any, inputs: Any, criterion: Any, *, epsilon: float, **kwargs: Any) -> Any:
        """Attack images; the seed comes from numpy's global generator, which `run_attack` has seeded."""
        from pyautoattack import AutoAttack as Ensemble

        images, restore = eagerpy.astensor_(inputs)
        clean = images.raw.contiguous()

        def network(pixels: torch.Tensor) -> torch.Tensor:
            """The model, with gradients in the plain layout, which the package takes for granted."""
            if pixels.requires_grad:
                pixels = pixels.clone()
                pixels.register_hook(lambda gradient: gradient.contiguous())
            return model(pixels)

        ensemble = Ensemble(
            network,
            attacks=self.attacks,
            device=images.raw.device,
            eps=epsilon,
            norm=NORMS[self.constraint],
            seed=int(np.random.randint(2**31 - 1)),
            version=self.version,
        )
        trace = sys.gettrace()  # its check for dynamic defences takes a debugger's away
        try:
            with torch.no_grad():
                found, _ = ensemble.run_standard_evaluation(clean, criterion.labels.raw, batch_size=len(clean))
        finally:
            sys.settrace(trace)
        return restore(eagerpy.astensor(found))
