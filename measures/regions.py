"""Which class a place on the map belongs to, from the BMUs of labelled samples, and when an image leaves its own.

With n_ck samples of class c at unit k, smoothed over the lattice by a Gaussian to s_ck, and the share pi_c of class c,

    p(c | k) = (s_ck + a pi_c) / (sum_c s_ck + a),

so that a unit far from all samples says no more than the shares. The samples are to be others than those that are
judged, such as the training images.
"""

import torch
from torch import Tensor

from measures.center_distances import axis_steps
from measures.centers import check_hits
from som.lattice import Lattice
from som.neighbourhood import neighbourhood_factors, smooth

SIGMA = 1.0
PRIOR = 1.0  # a, in samples
CELLS = 2**20  # distances in memory at a time


class ClassRegions:
    """The classes' probabilities over a map.

    Args:
        hits: (C, K) counts of labelled samples by class and unit; C may be large, most classes empty.
        lattice: the map's lattice.
        sigma: width of the smoothing in lattice steps, above 0.

    Attributes:
        hits: as given.
        counts: (C,) samples of each class.
        density: (K,) share of all samples around each unit, smoothed; float64.

    Raises:
        ValueError: if the counts are not (C, K), or there are none.

    Example:
        >>> regions = ClassRegions(torch.tensor([[4, 0, 0, 0, 0, 0], [0, 0, 0, 4, 0, 0]]), Lattice(1, 6), sigma=0.1)
        >>> regions.log_odds(torch.tensor([0, 1]), torch.tensor([0, 0]), torch.tensor([1, 1]))  # log 4.5 / 0.5, then 0
        tensor([2.1972, 0.0000])
    """

    def __init__(self, hits: Tensor, lattice: Lattice, sigma: float = SIGMA) -> None:
        check_hits(hits, lattice)
        self.hits = hits
        self.counts = hits.sum(1)
        if not self.counts.any():
            raise ValueError("class regions need the BMUs of labelled samples; got none")
        factors = neighbourhood_factors("gaussian", lattice, sigma, hits.device, torch.float64)
        smoothed = smooth(factors, hits.T.double())  # (K, C)
        self.density = smoothed.sum(1) / smoothed.sum()
        weighed = smoothed + PRIOR * self.counts / self.counts.sum()
        self._log = (weighed / weighed.sum(1, keepdim=True)).log()

    def log_probability(self, bmu: Tensor, label: Tensor) -> Tensor:
        """Log p(c | k) of each sample's class c at its BMU k.

        Args:
            bmu: (B,) int64.
            label: (B,) int64.

        Returns:
            (B,) float32; NaN for a class without samples.
        """
        return torch.where(self.counts[label] > 0, self._log[bmu, label], torch.nan).float()

    def log_odds(self, bmu: Tensor, own: Tensor, other: Tensor) -> Tensor:
        """Log p(own | k) - log p(other | k) at each sample's BMU k: above 0 inside its own region.

        Args:
            bmu: (B,) int64.
            own: (B,) int64 classes.
            other: (B,) int64 classes.

        Returns:
            (B,) float32; NaN where either class has no samples.
        """
        return self.log_probability(bmu, own) - self.log_probability(bmu, other)

    def log_density(self, bmu: Tensor) -> Tensor:
        """Log of the share of all samples around each BMU, smoothed: (B,) float32."""
        return self.density[bmu].log().float()

    def probabilities(self, bmu: Tensor) -> Tensor:
        """p(. | k) at each BMU: (B, C) float32."""
        return self._log[bmu].exp().float()


def leaving_depth(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """The first depth from which a changed image stays out of the region of its class.

    Only depths count at which the image was in its region before the change. Neither direction is better.

    Args:
        before: (L, B) log-odds of the unchanged images at each depth, from the input on; NaN where unknown.
        after: (L, B) those of the changed ones.

    Returns:
        (B,) int64, the index of the depth; L where the image is still, or again, in its region at the last depth that
        counts. And (B,) bool, whether any depth counts: without one the first is undefined, and L too.

    Example:
        >>> before = torch.tensor([[1.0, -1.0], [1.0, -1.0], [1.0, -1.0]])
        >>> leaving_depth(before, torch.tensor([[-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]))
        (tensor([2, 3]), tensor([ True, False]))
    """
    depths = len(before)
    counts = (before > 0) & ~after.isnan()
    stays_out = (~counts | (after < 0)).flip(0).cumprod(0).flip(0).bool()  # at this depth and all later ones
    left = counts & stays_out
    first = torch.where(left.any(0), left.int().argmax(0), depths)
    return first, counts.any(0)


def center_rank(bmu: Tensor, label: Tensor, centers: Tensor, lattice: Lattice) -> Tensor:
    """Rank of a class among all by how near its center lies to each sample's BMU; 1 = the nearest.

    Args:
        bmu: (B,) int64.
        label: (B,) int64 the class whose rank is asked for.
        centers: (C, 2) row and column, such as ``class_centers(hits, lattice).center``; NaN for a class without one.
        lattice: the map's lattice.

    Returns:
        (B,) float32, ties counted half (mid-ranks); NaN for a class without a center.

    Example:
        >>> centers = torch.tensor([[0.0, 3.0], [0.0, 1.0], [torch.nan, torch.nan], [0.0, 5.0]])
        >>> center_rank(torch.tensor([0]), torch.tensor([0]), centers, Lattice(1, 6))
        tensor([3.])
    """
    ranks = []
    size = max(1, CELLS // max(1, len(centers)))
    for units, own in zip(bmu.split(size), label.split(size), strict=True):
        row, col = lattice.coordinates(units)[:, None].unbind(-1)
        distances = torch.hypot(
            axis_steps(row, centers[:, 0], lattice.rows, lattice.topology),
            axis_steps(col, centers[:, 1], lattice.cols, lattice.topology),
        )
        target = distances.gather(1, own[:, None])
        nearer, equal = (distances < target).sum(1), (distances == target).sum(1)
        ranks.append(torch.where(target[:, 0].isnan(), torch.nan, nearer + (equal + 1) / 2))
    return torch.cat(ranks)
