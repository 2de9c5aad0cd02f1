import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from sklearn import metrics

from measures import AdjustedMutualInformation, adjusted_mutual_information, information_measures
from measures.information import expected_information, plug_ins
from tests.measures import reference

MANY = {"deadline": None, "max_examples": 60}


@settings(**MANY)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0, 1, 3, 4])), min_size=2, max_size=40))
def test_match_scikit_learn(samples):
    bmu, label = torch.tensor(samples).T
    hits = reference.table(bmu, label, 6, 5)  # class 2 is always empty
    found, contingency = plug_ins(hits), metrics.cluster.contingency_matrix(label, bmu)
    assert found["purity"].item() == pytest.approx(contingency.max(0).sum() / contingency.sum())
    if len(label.unique()) < 2:
        assert math.isnan(found["mutual_information"])
        assert math.isnan(adjusted_mutual_information(hits))
        return
    bits = metrics.mutual_info_score(label, bmu) / math.log(2)
    assert found["mutual_information"].item() == pytest.approx(bits, abs=1e-9)
    adjusted = adjusted_mutual_information(hits).item()
    if not math.isnan(adjusted):
        assert adjusted == pytest.approx(metrics.adjusted_mutual_info_score(label, bmu), abs=1e-5)


@pytest.mark.parametrize("values", [1, 100, 2**22])
def test_expected_information_of_uneven_sums_in_any_chunks(values, monkeypatch):
    monkeypatch.setattr("measures.information.VALUES", values)
    generator = torch.Generator().manual_seed(0)
    bmu = torch.randint(20, (300, 2), generator=generator).prod(1) % 30
    label = torch.randint(6, (300, 2), generator=generator).prod(1) % 7
    hits = reference.table(bmu, label, 30, 7)
    expected = sum(
        float(stats.hypergeom(300, a, b).pmf(n)) * n / 300 * math.log2(300 * n / (a * b))
        for a in hits.sum(1).tolist()
        for b in hits.sum(0).tolist()
        for n in range(1, min(a, b) + 1)
    )
    assert expected_information(hits).item() == pytest.approx(expected, rel=1e-9)
    nats = metrics.cluster.expected_mutual_information(metrics.cluster.contingency_matrix(label, bmu), 300)
    assert expected == pytest.approx(nats / math.log(2), rel=1e-7)


def test_jensen_shannon_of_two_clouds_is_scipys():
    hits = torch.tensor([[4, 0, 2, 1], [1, 5, 0, 3]])
    p, q = (row / row.sum() for row in hits.double())
    assert plug_ins(hits)["jensen_shannon"].item() == pytest.approx(jensenshannon(p, q, base=2) ** 2)


def independent(samples, units, classes, generator):
    return reference.table(
        torch.randint(units, (samples,), generator=generator),
        torch.randint(classes, (samples,), generator=generator),
        units,
        classes,
    )


def test_why_plug_ins_need_a_null():
    # 1,600 units, 10 classes, 500 samples, labels that say nothing.
    generator = torch.Generator().manual_seed(0)
    tables = [independent(500, 1600, 10, generator) for _ in range(10)]
    means = {name: sum(plug_ins(t)[name].item() for t in tables) / 10 for name in ("mutual_information", "purity")}
    assert means["mutual_information"] == pytest.approx(3.07, abs=0.06)
    assert means["purity"] == pytest.approx(0.88, abs=0.02)
    assert sum(adjusted_mutual_information(t).item() for t in tables) / 10 == pytest.approx(0, abs=0.01)
    pair = torch.stack([torch.randint(1600, (50,), generator=generator).bincount(minlength=1600) for _ in range(2)])
    assert plug_ins(pair)["jensen_shannon"].item() == pytest.approx(0.97, abs=0.03)
    found = information_measures(tables[0], permutations=60)
    for result in found.values():
        assert result.null_low <= result.value <= result.null_high
        assert result.p_value > 0.02
    assert found["mutual_information"].null_mean == pytest.approx(expected_information(tables[0]).item(), abs=0.01)


def test_structure_shows_against_the_null():
    generator = torch.Generator().manual_seed(0)
    bmu = torch.randint(100, (200,), generator=generator)
    hits = reference.table(bmu, torch.div(bmu, 25, rounding_mode="floor"), 100, 4)
    for result in information_measures(hits, permutations=99).values():
        assert result.value > result.null_high
        assert result.p_value == 0.01


def test_metric_accumulates_and_higher_means_apart():
    label = torch.arange(3).repeat_interleave(40)
    apart = label * 4 + torch.randint(4, (120,), generator=torch.Generator().manual_seed(0))
    found = []
    for bmu in (apart.roll(20), apart):
        metric = AdjustedMutualInformation(num_units=12, num_classes=3)
        metric.update(bmu[:70], label[:70])
        metric.update(bmu[70:], label[70:])
        found.append(metric.compute().item())
        assert found[-1] == adjusted_mutual_information(reference.table(bmu, label, 12, 3)).item()
    assert found[0] < found[1]
    assert metric.higher_is_better is True


def test_bad_input():
    empty = torch.zeros(3, 4, dtype=torch.int64)
    assert all(math.isnan(value) for value in plug_ins(empty).values())
    assert math.isnan(adjusted_mutual_information(empty))
    assert all(math.isnan(result.p_value) for result in information_measures(empty, 3).values())
    one_unit = empty.clone()
    one_unit[:, 1] = 5
    assert adjusted_mutual_information(one_unit) == 0
    assert [round(value.item(), 6) for value in plug_ins(one_unit).values()] == [0, pytest.approx(1 / 3), 0]
    one_each = torch.eye(4, dtype=torch.int64)
    assert math.isnan(adjusted_mutual_information(one_each))
    assert plug_ins(one_each)["mutual_information"].item() == pytest.approx(2)
