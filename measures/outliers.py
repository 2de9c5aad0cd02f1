"""How unlike known codes a code is: the baselines that scores of the map are held against.

All are from codes of other images, the bank, and higher = more unusual:

- deep kNN (Sun et al. 2022): distance to the k-th nearest code of the bank;
- LID (Ma et al. 2018): the local intrinsic dimension, -1 / mean_i log(r_i / r_k) over the k nearest distances r;
- Mahalanobis (Lee et al. 2018): the least over classes of (x - mu_c)^T S^-1 (x - mu_c), S the covariance within
  classes, shrunk towards a multiple of the identity by OAS (Chen et al. 2010, as scikit-learn has it for many
  dimensions), since codes have more dimensions than a bank has samples.

The papers fit a classifier on top, on attacks themselves; here each is taken by itself, as it is.
"""

import torch
from torch import Tensor

NEIGHBOURS = 20


class CodeBank:
    """Codes to compare with; memory is a few times theirs.

    Args:
        codes: (n, D) of labelled images, finite, n above ``neighbours``.
        label: (n,) int64.
        neighbours: k.

    Raises:
        ValueError: if the codes are too few.
    """

    def __init__(self, codes: Tensor, label: Tensor, neighbours: int = NEIGHBOURS) -> None:
        if len(codes) <= neighbours:
            raise ValueError(f"{neighbours} neighbours need a bank of more codes; got {len(codes)}")
        self.neighbours = neighbours
        self.center = codes.float().mean(0)
        self.codes = codes.float() - self.center  # an offset that all share would cost the distances their digits
        self._fit(label)

    def distances(self, codes: Tensor) -> Tensor:
        """Distances (B, k) to the k nearest codes of the bank, ascending."""
        apart = torch.cdist(codes.float() - self.center, self.codes)
        return apart.topk(self.neighbours, dim=1, largest=False).values

    def scores(self, codes: Tensor) -> dict[str, Tensor]:
        """``lid``, ``knn`` and ``mahalanobis`` of codes (B, D), each (B,) float32; higher = more unusual."""
        near = self.distances(codes)
        tiny = torch.finfo(near.dtype).tiny
        logs = (near.clamp(min=tiny) / near[:, -1:].clamp(min=tiny)).log()
        white = self._whiten(codes.float() - self.center)
        apart = torch.cdist(white, self._means)
        lid = -1 / logs.mean(1)  # of neighbours that are all equally far it is undefined
        return {
            "lid": lid.masked_fill(lid.isinf(), torch.nan),
            "knn": near[:, -1],
            "mahalanobis": apart.amin(1).square(),
        }

    def _fit(self, label: Tensor) -> None:
        _, member, counts = label.unique(return_inverse=True, return_counts=True)
        if (counts < 2).all():  # a class of one image has no spread of its own
            member, counts = torch.zeros_like(member), torch.tensor([len(label)], device=label.device)
        sums = torch.zeros(len(counts), self.codes.shape[1], device=self.codes.device)
        means = sums.index_add(0, member, self.codes) / counts[:, None]
        inside = self.codes - means[member]
        samples, size = inside.shape
        # Of the n x n Gram matrix, whose eigenvectors are those of the D x D covariance seen from the samples.
        values, vectors = torch.linalg.eigh(inside.double() @ inside.double().T / samples)
        kept = values > values[-1] * 1e-9
        values = values[kept]
        self._axes = (inside.double().T @ vectors[:, kept] / (samples * values).sqrt()).float()  # (D, r)
        total, squares = values.sum(), values.square().sum()
        rest = (samples + 1) * (squares - total.square() / size)
        shrinkage = ((squares + total.square()) / rest).clamp(0, 1) if rest > 0 else rest.new_ones(())
        level = shrinkage * total / size
        self._outside = level.rsqrt().float()
        self._along = ((1 - shrinkage) * values + level).rsqrt().float()
        self._means = self._whiten(means)

    def _whiten(self, codes: Tensor) -> Tensor:
        """Take centered codes (B, D) to where the shrunk covariance is the identity."""
        seen = codes @ self._axes
        return codes * self._outside + (seen * (self._along - self._outside)) @ self._axes.T
