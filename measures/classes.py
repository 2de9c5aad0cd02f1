"""Whether classes keep to units of their own: the collision lift.

From counts n_uc of class c at unit u, N_c = sum_u n_uc, held as ``hits`` (C, K):

    same = mean over classes with N_c >= 2 of sum_u n_uc (n_uc - 1) / (N_c (N_c - 1))
    diff = mean over ordered pairs c != c' of non-empty classes of sum_u n_uc n_uc' / (N_c N_c')
    lift = same / diff

``same`` and ``diff`` are unbiased for the chance that two samples of one class, or of two classes, share a unit (the
U-statistics of Simpson's index, 1949, and of Morisita's index between samples, 1959). So labels that say nothing give
1 at any sample size, where mutual information, purity and NMI read high from few samples.

With a radius r, two samples meet if their units are at most r steps apart along each axis: the second factor of each
product becomes the sum over the units within r, less the sample itself where the class is its own. All displacements
are counted at once (measures/pairs.py). More pairs meet than share a unit, so the lift varies less where samples are
few, and falls towards 1 as the radius grows.
"""

from torch import Tensor

from measures.occupancy import Hits
from measures.pairs import box_kernel, pair_means
from som.lattice import Lattice, Topology


def collision_lift(hits: Tensor, lattice: Lattice | None = None, radius: int = 0) -> Tensor:
    """How much likelier two samples of one class share a unit than two of different classes.

    Higher = classes keep apart; 1 = the map knows nothing of the classes.

    Args:
        hits: (C, K) counts by class and unit.
        lattice: the map's lattice, needed for a radius above 0.
        radius: r, how many steps apart along each axis samples still meet; 0 = on one unit.

    Returns:
        Scalar float32. Infinity if samples of one class meet and those of different classes never do; NaN if
        undefined: no class with 2 samples, fewer than 2 non-empty classes, or no two samples that meet.

    Raises:
        ValueError: if the radius is negative, or above 0 without a lattice, or the counts do not fit the lattice.

    Example:
        >>> import torch
        >>> collision_lift(torch.tensor([[3, 1], [1, 3]]))  # same 1/2, diff 6/16
        tensor(1.3333)
        >>> collision_lift(torch.tensor([[2, 0], [0, 2]]))
        tensor(inf)
        >>> collision_lift(torch.tensor([[2, 0], [0, 2]]), Lattice(1, 2), radius=1)
        tensor(1.)
    """
    if radius < 0 or (radius > 0 and lattice is None):
        raise ValueError(f"radius must be 0 or more, and above 0 needs the map's lattice; got radius={radius}")
    if lattice is not None and radius > 0:
        means = pair_means(hits, box_kernel(lattice, radius, hits.device)[None], lattice)[0]
        return (means.mean_within / means.between).float()
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


class NearCollisionLift(Hits):
    """Collision lift with a radius: samples meet if they are near on the map; see :func:`collision_lift`.

    Higher = classes keep to regions of their own; 1 = the map knows nothing of the classes.

    Args:
        rows: rows of the lattice.
        cols: columns of the lattice.
        num_classes: number of classes.
        radius: how many steps apart along each axis samples still meet.
        topology: ``"torus"`` or ``"plane"``.

    Raises:
        ValueError: if a number is out of range or the topology is unknown.

    Example:
        >>> import torch
        >>> metric = NearCollisionLift(rows=1, cols=6, num_classes=2)
        >>> metric.update(bmu=torch.tensor([0, 5, 0, 2, 3]), label=torch.tensor([0, 0, 1, 1, 1]))
        >>> metric.compute()  # same (1 + 1/3) / 2, diff 2/6
        tensor(2.)
    """

    higher_is_better = True

    def __init__(self, rows: int, cols: int, num_classes: int, radius: int = 1, topology: Topology = "torus") -> None:
        lattice = Lattice(rows, cols, topology)
        super().__init__(lattice.units, num_classes)
        if radius < 0:
            raise ValueError(f"radius must be 0 or more; got radius={radius}")
        self.lattice = lattice
        self.radius = radius

    def compute(self) -> Tensor:
        """The lift: scalar float32; infinity or NaN as in :func:`collision_lift`."""
        return collision_lift(self.hits, self.lattice, self.radius)
