"""How a fit starts: the codes looked through once, the map given its prototypes, the rule its epochs."""

from typing import Any

import torch
from sklearn.utils import check_random_state
from torch import Tensor

from som.batch_fit import BatchFit
from som.checkpoint import Checkpoint
from som.fitting import Fit, Plan, agree, seeded
from som.initial import InitialMethod
from som.map import SelfOrganizingMap
from som.minibatch_fit import MinibatchFit
from som.rules import check_rule
from som.sources import LoaderSource, Source

POOL = 2048  # codes that a map starts from; samples are one a unit where that is more


@torch.no_grad()
def start_fit(som: SelfOrganizingMap, source: Source, plan: Plan, init: InitialMethod | Tensor) -> Fit:
    """Make a fit ready for its first epoch.

    Args:
        som: the map; it is initialised here, and its standardiser, if it has one, learns from all codes.
        source: the codes.
        plan: how to fit.
        init: how the prototypes start, or the prototypes (K, D) themselves.

    Returns:
        The fit.

    Raises:
        ValueError: if the plan does not suit the map or the source, or codes are not finite (naming the row).
    """
    _check(som, source, plan)
    source.check()
    if som.standardiser is not None:
        for batch in source.batches():
            som.standardiser.update(batch, shared=source.samples is not None)
    # Only a map of samples needs a code a unit: they are as large as the prototypes.
    size = max(POOL, som.lattice.units) if isinstance(init, str) and init == "sample" else POOL
    pool = source.pool(size, seeded(plan.seed, 0))
    som.initialise(pool, init, seeded(plan.seed, 1))
    agree(som.prototypes.detach())  # each process has its own share of a DataLoader's codes
    origin = agree(som.encode(pool).mean(0))
    fit = (BatchFit if plan.rule == "batch" else MinibatchFit)(som, source, plan, origin)
    fit.measure()
    return fit


def fit_seed(random_state: Any, checkpoint: Checkpoint | None, device: torch.device) -> int:
    """The seed of a fit, the same on every process; a collective.

    Args:
        random_state: what it is drawn from; None for that of the fit that goes on, or else for a new one.
        checkpoint: of the fit that may go on.
        device: of the fit.
    """
    seed = checkpoint.seed if checkpoint is not None and random_state is None else None
    if seed is None:
        seed = check_random_state(random_state).randint(2**31)
    return int(agree(torch.tensor(seed, device=device)))


def _check(som: SelfOrganizingMap, source: Source, plan: Plan) -> None:
    check_rule(plan.rule, som.winner, (plan.alpha.start, plan.alpha.end))
    # The other winners' energies round differently in batches of another size, and decide between near ties.
    if plan.deterministic and (isinstance(source, LoaderSource) or som.winner != "kohonen"):
        raise ValueError("deterministic=True needs an array of codes, and winner 'kohonen'")
