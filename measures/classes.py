"""Whether classes keep to units of their own: the collision lift.

From counts n_uc of class c at unit u, N_c = sum_u n_uc, held as ``hits`` (C, K):

    same = mean over classes with N_c >= 2 of sum_u n_uc (n_uc - 1) / (N_c (N_c - 1))
    diff = mean over ordered pairs c != c' of non-empty classes of sum_u n_uc n_uc' / (N_c N_c')
    lift = same / diff

``same`` and ``diff`` are unbiased for the chance that two samples of one class, or of two classes, share a unit (the
U-statistics of Simpson's index, 1949, and of Morisita's index between samples, 1959). So labels that say nothing give
1 at any sample size, where mutual information, purity and NMI read high from few samples.
"""

from torch import Tensor

from measures.occupancy import Hits


def collision_lift(hits: Tensor) -> Tensor:
    """How much likelier two samples of one class share a unit than two of different classes.

    Higher = classes keep apart; 1 = the map knows nothing of the classes.

    Args:
        hits: (C, K) counts by class and unit.

    Returns:
        Scalar float32. Infinity if samples of one class share units and those of different classes never do; NaN if
        undefined: no class with 2 samples, fewer than 2 non-empty classes, or no shared unit at all.

    Example:
        >>> import torch
        >>> collision_lift(torch.tensor([[3, 1], [1, 3]]))  # same 1/2, diff 6/16
        tensor(1.3333)
        >>> collision_lift(torch.tensor([[2, 0], [0, 2]]))
        tensor(inf)
    """
    hits = hits[hits.sum(1) > 0].double()
    totals = hits.sum(1)
    repeated = totals >= 2
    pairs = totals[repeated] * (totals[repeated] - 1)
    same = ((hits * (hits - 1)).sum(1)[repeated] / pairs).mean()
    shares = hits / totals[:, None]
    # By unit, against the sum of the other classes: exactly 0 where a unit holds one class, which the square of the sum
    # minus the sum of squares would not be.
    different = (shares * (shares.sum(0) - shares)).sum() / (len(totals) * (len(totals) - 1))
    return (same / different).float()


class CollisionLift(Hits):
    """Collision lift of the classes on the map; see :func:`collision_lift`.

    Higher = classes keep to units of their own; 1 = the map knows nothing of the classes.

    Args:
        num_units: K.
        num_classes: number of classes.

    Example:
        >>> import torch
        >>> metric = CollisionLift(num_units=2, num_classes=2)
        >>> bmu, label = torch.tensor([0, 0, 0, 1, 0, 1, 1, 1]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
        >>> metric.update(bmu=bmu, label=label)
        >>> metric.compute()
        tensor(1.3333)
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """The lift: scalar float32; infinity or NaN as in :func:`collision_lift`."""
        return collision_lift(self.hits)
