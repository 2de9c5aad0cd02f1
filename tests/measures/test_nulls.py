import math
from itertools import pairwise

import pytest
import torch
from scipy import stats

from measures import permutation_test, permuted_hits, uniform_hits
from measures.nulls import against_null
from som import Lattice
from tests.measures import reference


def test_permuting_keeps_the_sums():
    hits, _ = reference.blobs(Lattice(5, 7), 6, 20, spread=1.0)
    hits[2] = 0
    drawn = permuted_hits(hits, torch.Generator().manual_seed(0))
    assert drawn.dtype == torch.int64
    assert torch.equal(drawn.sum(0), hits.sum(0))
    assert torch.equal(drawn.sum(1), hits.sum(1))
    assert not torch.equal(drawn, hits)
    assert torch.equal(drawn, permuted_hits(hits, torch.Generator().manual_seed(0)))


def test_permuted_cells_are_hypergeometric():
    hits, generator = torch.tensor([[3, 2, 0], [1, 0, 6]]), torch.Generator().manual_seed(0)
    draws = torch.stack([permuted_hits(hits, generator)[0, 0] for _ in range(4000)])
    expected = stats.hypergeom(12, 4, 5).pmf(range(5)) * 4000
    assert stats.chisquare(draws.bincount(minlength=5).numpy(), expected).pvalue > 0.01


def test_uniform_bmus():
    totals, generator = torch.tensor([5, 0, 6000]), torch.Generator().manual_seed(0)
    drawn = uniform_hits(totals, 12, generator)
    assert torch.equal(drawn.sum(1), totals)
    assert stats.chisquare(drawn[2].numpy()).pvalue > 0.01


def test_p_values_are_uniform_if_labels_say_nothing():
    generator = torch.Generator().manual_seed(0)

    def statistics(hits):
        shares = hits.double() / hits.sum(1, keepdim=True)
        return {"apart": (shares[0] - shares[1]).square().sum()}

    p_values = []
    for seed in range(200):
        hits = uniform_hits(torch.tensor([40, 30]), 8, generator)
        p_values.append(permutation_test(statistics, hits, {"apart": "greater"}, 49, seed)["apart"].p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert min(p_values) >= 1 / 50


def test_both_directions_and_quantiles():
    hits = torch.tensor([[30, 2], [3, 30]])
    found = permutation_test(
        lambda table: {"diagonal": table.trace(), "off": table[0, 1] + table[1, 0], "ignored": table[0, 0]},
        hits,
        {"diagonal": "greater", "off": "less"},
        permutations=199,
    )
    assert found.keys() == {"diagonal", "off"}
    assert found["diagonal"].p_value == found["off"].p_value == 1 / 200
    assert found["diagonal"].value == 60
    for result in found.values():
        assert all(a <= b for a, b in pairwise((result.null_low, result.null_mean, result.null_high)))
    assert found["diagonal"].null_mean == pytest.approx((32 * 33 + 33 * 32) / 65, abs=1.5)


def test_undefined_values_and_draws():
    assert all(math.isnan(value) for value in vars(against_null(math.nan, [1.0, 2.0], "greater")).values())
    found = against_null(5.0, [1.0, math.nan, 3.0], "greater")
    assert (found.null_mean, found.p_value) == (2, 0.5)  # a draw that is undefined counts as extreme
    assert against_null(math.inf, [1.0, math.inf, 2.0], "greater").p_value == 0.5
    assert math.isnan(against_null(5.0, [math.nan], "less").null_mean)
    empty = permuted_hits(torch.zeros(2, 3, dtype=torch.int64), torch.Generator())
    assert torch.equal(empty, torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="permutations must be 1 or more; got permutations=0"):
        permutation_test(lambda table: {}, empty, {}, permutations=0)
