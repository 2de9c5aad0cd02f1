import pytest
import torch

from som import SelfOrganizingMap
from tests.som import reference


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def ready(**options):
    som = SelfOrganizingMap(3, 4, 5, **options)
    if som.standardiser is not None:
        som.standardiser.update(draw(50, 5) * 7 + 100)
        som.initialise(draw(50, 5) * 7 + 100, generator=torch.Generator().manual_seed(1))
    else:
        som.initialise(draw(50, 5), generator=torch.Generator().manual_seed(1))
    return som


@pytest.mark.parametrize("topology", ["torus", "plane"])
def test_energy_matches_loops(topology):
    som, codes = ready(topology=topology), draw(9, 5, seed=2).requires_grad_()
    loss, winners = som.energy(codes, 1.1)
    loss.backward()
    prototypes, detached = som.prototypes.detach(), codes.detach()
    bmu, second, *_ = reference.winners(detached, prototypes)
    weights = reference.weights(bmu, 3, 4, topology, 1.1)
    for_codes, for_prototypes = reference.energy_gradients(detached, prototypes, weights)
    assert torch.equal(winners.bmu, bmu)
    assert torch.equal(winners.second, second)
    assert not winners.distance.requires_grad
    assert loss.item() == pytest.approx(reference.energy(detached, prototypes, weights), rel=1e-5)
    torch.testing.assert_close(codes.grad.double(), for_codes, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(som.prototypes.grad.double(), for_prototypes, rtol=1e-4, atol=1e-6)


def test_forward_finds_the_winners_of_energy():
    som, codes = ready(standardise=True), draw(9, 5, seed=2) * 7 + 100
    for one, other in zip(som(codes), som.energy(codes, 1.0)[1], strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad


def test_standardised_energy_sends_gradients_to_raw_codes():
    som, codes = ready(standardise=True), (draw(9, 5, seed=2) * 7 + 100).requires_grad_()
    som.energy(codes, 1.0)[0].backward()
    encoded = som.encode(codes.detach()).requires_grad_()
    plain = SelfOrganizingMap(3, 4, 5)
    plain.load_state_dict({k: v for k, v in som.state_dict().items() if not k.startswith("standardiser")})
    plain.energy(encoded, 1.0)[0].backward()
    torch.testing.assert_close(codes.grad, encoded.grad / som.standardiser.standard_deviation.float())


def test_training_lowers_the_energy_and_spreads_the_map():
    som, codes = SelfOrganizingMap(3, 4, 2), draw(300, 2)
    som.initialise(codes, "random", torch.Generator().manual_seed(0))
    start = som.energy(codes, 0.5)[0].item()
    optimiser = torch.optim.SGD(som.parameters(), lr=1.0)
    for step in range(60):
        optimiser.zero_grad()
        som.energy(codes, 1.5 * 0.5 ** (step / 30))[0].backward()
        optimiser.step()
    assert som.energy(codes, 0.5)[0].item() < start
    assert len(som(codes).bmu.unique()) == 12


@pytest.mark.parametrize("method", ["sample", "random"])
def test_a_generator_decides_and_the_global_one_is_left_alone(method):
    def run():
        som = SelfOrganizingMap(3, 4, 5)
        som.initialise(draw(20, 5), method, torch.Generator().manual_seed(3))
        return som.prototypes

    state = torch.get_rng_state()
    assert torch.equal(run(), run())
    assert torch.equal(torch.get_rng_state(), state)


def test_prototypes_start_in_standardised_space():
    som = ready(standardise=True)
    assert som.prototypes.abs().max() < 5


def test_a_state_dict_carries_everything():
    som, other = ready(standardise=True), SelfOrganizingMap(3, 4, 5, standardise=True)
    other.load_state_dict(som.state_dict())
    codes = draw(9, 5, seed=2) * 7 + 100
    for one, two in zip(som(codes), other(codes), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize(
    "use",
    [
        lambda som, codes: som(codes),
        lambda som, codes: som.energy(codes, 1.0),
    ],
)
def test_refusals_in_use(use):
    with pytest.raises(ValueError, match="the map has no prototypes yet: call initialise"):
        use(SelfOrganizingMap(3, 4, 5), draw(2, 5))
    som, bad = ready(), draw(6, 5)
    bad[3, 0] = torch.inf
    with pytest.raises(ValueError, match="row 3 holds"):
        use(som, bad)
    with pytest.raises(ValueError, match="codes have 4 dimensions but the map was made for 5"):
        use(som, draw(2, 4))


def test_refusals_in_initialise():
    som, bad = SelfOrganizingMap(3, 4, 5), draw(6, 5)
    bad[3, 0] = torch.nan
    for codes, message in ((bad, "row 3 holds"), (draw(2, 4), "4 dimensions"), (draw(0, 5), "at least 1 code")):
        with pytest.raises(ValueError, match=message):
            som.initialise(codes)
    with pytest.raises(ValueError, match="initial method 'ica' is unknown"):
        som.initialise(draw(6, 5), "ica")
    with pytest.raises(ValueError, match=r"given prototypes have shape \(12, 4\); this map needs \(12, 5\)"):
        som.initialise(draw(6, 5), draw(12, 4))
    with pytest.raises(ValueError, match="row 3 holds"):
        som.initialise(draw(6, 5), bad.repeat(2, 1))
    with pytest.raises(ValueError, match="standardises but has seen no codes"):
        SelfOrganizingMap(3, 4, 5, standardise=True).initialise(draw(6, 5))
    assert not som.initialised
    with pytest.raises(ValueError, match="dimensions=0"):
        SelfOrganizingMap(3, 4, 0)
    with pytest.raises(ValueError, match="distance 'manhattan' is unknown; choose 'euclidean' or 'cosine'"):
        SelfOrganizingMap(3, 4, 5, distance="manhattan")


def test_given_prototypes():
    som, given = SelfOrganizingMap(3, 4, 5), draw(12, 5)
    som.initialise(draw(2, 5, seed=3), given)
    assert torch.equal(som.prototypes.detach(), given)
    som.prototypes.data.zero_()
    assert given.abs().sum() > 0  # copied


def test_cosine_distance_matches_loops():
    som, codes = ready(distance="cosine"), draw(9, 5, seed=2)
    codes[4] = 0
    torch.testing.assert_close(som.prototypes.norm(dim=1), torch.ones(12))
    found = som(codes)
    for b, code in enumerate(codes.double()):
        lengths = som.prototypes.detach().double().norm(dim=1) * code.norm().clamp(min=1e-12)
        order = (1 - som.prototypes.detach().double() @ code / lengths).sort(stable=True)
        if b == 4:
            assert found.distance[b].item() == pytest.approx(0.5)
            continue
        assert [found.bmu[b], found.second[b]] == order.indices[:2].tolist()
        assert found.distance[b].item() == pytest.approx(order.values[0].item(), abs=1e-6)
        assert found.second_distance[b].item() == pytest.approx(order.values[1].item(), abs=1e-6)


@pytest.mark.parametrize("winner", ["heskes", "soft"])
@pytest.mark.parametrize("kind", ["gaussian", "wrapped_gaussian", "bubble"])
def test_energy_of_other_winners(winner, kind):
    som, codes = ready(winner=winner, neighbourhood=kind), draw(9, 5, seed=2)
    full = reference.table(3, 4, "torus", 1.1, kind)
    energies = reference.unit_energies(codes, som.prototypes.detach(), full)
    expected = energies.min(1).values.mean() / 2 if winner == "heskes" else -(-energies / 2).logsumexp(1).mean()
    loss, winners = som.energy(codes, 1.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert torch.equal(winners.bmu, reference.winners(codes, som.prototypes.detach())[0])


def test_it_prints_its_sizes():
    assert "rows=3, cols=4, topology='torus', dimensions=5" in repr(SelfOrganizingMap(3, 4, 5))


def test_codes_that_are_too_large_are_refused():
    som, codes = ready(), draw(6, 5)
    codes[4, 1] = 1e16
    for use in (som, lambda codes: som.energy(codes, 1.0), som.initialise):
        with pytest.raises(ValueError, match="row 4 holds more"):
            use(codes)


@pytest.mark.parametrize("scale", [1e-30, 1e-13, 1e14])
def test_the_cosine_knows_no_scale(scale):
    som, codes = ready(distance="cosine"), draw(9, 5, seed=2)
    torch.testing.assert_close(som(codes * scale).distance, som(codes).distance, rtol=1e-5, atol=1e-6)
    assert torch.equal(som(codes * scale).bmu, som(codes).bmu)
