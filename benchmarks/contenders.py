"""Every map that is timed, behind one call: (codes, settings) -> seconds, prototypes and topology.

Only fitting is timed: not imports, not a warm-up, and not the initial prototypes that a rival is handed.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from som import SOM, Lattice, Topology
from som.fitting import SearchMethod, seeded
from som.initial import initial_prototypes
from som.presets import quicksom as quicksom_preset
from som.start import POOL

Result = tuple[float, Tensor, str]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    wait = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    wait()
    start = time.perf_counter()
    result = work()
    wait()
    return time.perf_counter() - start, result


def pca_start(codes: Tensor, side: int, topology: Topology) -> Tensor:
    """The prototypes from which this project's map starts, to hand to a rival."""
    order = torch.randperm(len(codes), generator=seeded(0, 0))[: max(POOL, side * side)]
    return initial_prototypes(codes[order], Lattice(side, side, topology), "pca")


def somscope_batch(codes: Tensor, side: int, epochs: int, topology: Topology, search: SearchMethod = "auto") -> Result:
    som = SOM(
        side, side, topology=topology, sigma=(side / 2, 0.5), epochs=epochs, search=search, random_state=0,
        device=codes.device,
    )  # fmt: skip

    def walk() -> None:
        som.init = pca_start(codes, side, topology)  # timed here; a rival is handed the same
        # A single epoch is timed without the labels that `fit` ends with.
        _ = som.fit(codes) if epochs > 1 else som.partial_fit(codes)

    seconds, _ = timed(walk)
    return seconds, som.map_.prototypes.detach(), topology


def somscope_quicksom(codes: Tensor, side: int, epochs: int) -> Result:
    som = quicksom_preset(
        side, side, len(codes), batch_size=100, epochs=epochs, alpha=1.0, shuffle=False, random_state=0
    )
    seconds, _ = timed(lambda: som.partial_fit(codes))
    return seconds, som.map_.prototypes.detach(), "torus"


def somscope_gradient(codes: Tensor, side: int, epochs: int) -> Result:
    settings: dict[str, Any] = {"neighbourhood": "gaussian", "rule": "gradient", "init": "random", "random_state": 0}
    som = SOM(side, side, sigma=(side / 2, side / 2), alpha=(0.5, 0.5), epochs=epochs, batch_size=256, **settings)
    seconds, _ = timed(lambda: som.partial_fit(codes))
    return seconds, som.map_.prototypes.detach(), "torus"


def fastersom(codes: Tensor, side: int, epochs: int) -> Result:
    from fastersom import SOM as FasterSOM

    start = pca_start(codes, side, "plane")
    som = FasterSOM(
        side, side, n_epochs=epochs, sigma_initial=side / 2, sigma_final=0.5, init=start, device=str(codes.device)
    )
    seconds, _ = timed(lambda: som.fit(codes))
    return seconds, torch.as_tensor(som.weights_).to(codes.device), "plane"


def xpysom(codes: Tensor, side: int, epochs: int) -> Result:
    import numpy as np
    from xpysom import XPySom

    som = XPySom(
        side, side, codes.shape[1], sigma=side / 2, sigmaN=0.5, decay_function="exponential", std_coeff=1, xp=np
    )
    som._weights = pca_start(codes, side, "plane").reshape(side, side, -1).numpy()
    seconds, _ = timed(lambda: som.train(codes.numpy(), epochs))
    return seconds, torch.as_tensor(som.get_weights()).flatten(0, 1), "plane"


def minisom(codes: Tensor, side: int, epochs: int) -> Result:
    from minisom import MiniSom

    som = MiniSom(side, side, codes.shape[1], sigma=side / 2, learning_rate=0.5, random_seed=0)
    seconds, _ = timed(lambda: som.train(codes.numpy(), epochs * len(codes)))
    return seconds, torch.as_tensor(som.get_weights()).flatten(0, 1).float(), "plane"


def quicksom(codes: Tensor, side: int, epochs: int) -> Result:
    from quicksom.som import SOM as QuickSOM

    # quicksom's fit also makes a U-matrix of all pairs; its epoch alone is the loop over its update.
    som = QuickSOM(side, side, codes.shape[1], alpha=1.0, n_epoch=epochs, periodic=True)
    som.centroids = torch.randn(side * side, codes.shape[1], generator=seeded(0, 1))

    def walk() -> None:
        for step in range(epochs * len(codes) // 100):
            first = step * 100 % len(codes)
            som(codes[first : first + 100], learning_rate_op=1 - step * 100 / (epochs * len(codes)))

    seconds, _ = timed(walk)
    return seconds, som.centroids, "torus"


def torchsom(codes: Tensor, side: int, epochs: int) -> Result:
    from torchsom import SOM as TorchSOM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        som = TorchSOM(
            side, side, codes.shape[1], epochs=epochs, batch_size=256, sigma=side / 2, learning_rate=0.5, pbc=True,
            device="cpu",
        )  # fmt: skip
    seconds, _ = timed(lambda: som.fit(codes, verbose=False))
    return seconds, som.weights.detach().flatten(0, 1), "torus"


def products_alone(codes: Tensor, side: int, epochs: int) -> Result:
    """The limit of a dense search: its score products and nothing else."""
    prototypes = pca_start(codes, side, "plane")
    scores = torch.empty(1000, side * side, device=codes.device)

    def walk() -> None:
        for _ in range(epochs):
            for part in codes.split(1000):
                torch.mm(part, prototypes.T, out=scores[: len(part)])

    seconds, _ = timed(walk)
    return seconds, prototypes, "plane"
