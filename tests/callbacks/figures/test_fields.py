import numpy as np
import pytest
import torch

from callbacks.figures.fields import component_planes_figure, relative_u_matrix, statistic_planes, u_matrix_figure
from som import Lattice
from tests.callbacks.laid_out import LONG, assert_laid_out


def test_relative_u_matrix_wraps_and_has_mean_1():
    prototypes = torch.tensor([[0.0], [0.0], [0.0], [0.0], [9.0], [9.0]])
    torus, plane = (relative_u_matrix(prototypes, Lattice(1, 6, topology)) for topology in ("torus", "plane"))
    assert torus.mean() == pytest.approx(1)
    assert torus[0, 0] > 0, "unit 0 and unit 5 are neighbours across the seam"
    assert plane[0, 0] == 0
    np.testing.assert_allclose(relative_u_matrix(100 * prototypes, Lattice(1, 6)), torus, rtol=1e-6)
    assert (relative_u_matrix(torch.ones(6, 2), Lattice(2, 3)) == 0).all()


@pytest.mark.parametrize("channels", [3, 40])
def test_planes_are_the_leading_components_of_each_statistic(channels):
    lattice = Lattice(4, 5)
    generator = torch.Generator().manual_seed(0)
    slope = torch.linspace(-1, 1, 20)[:, None]
    first = slope * torch.rand(channels, generator=generator) + 0.05 * torch.randn(20, channels, generator=generator)
    second = torch.randn(20, channels, generator=generator)
    planes = statistic_planes(torch.cat([first, second], 1), lattice, {"max": channels, "mean": channels})
    assert list(planes) == ["max", "mean"]
    for part, (field, share) in zip((first, second), planes.values(), strict=True):
        centred = (part - part.mean(0)).double().numpy()
        left, values, _ = np.linalg.svd(centred, full_matrices=False)
        assert share == pytest.approx(values[0] ** 2 / (values**2).sum(), rel=0.02)
        assert field.shape == (4, 5)
        assert field.std() == pytest.approx(1, rel=1e-4)
        assert abs(np.corrcoef(field.ravel(), left[:, 0])[0, 1]) > 0.98
        assert np.corrcoef(field.ravel(), centred.mean(1))[0, 1] >= 0, "bright = large"
    assert planes["max"][1] > 0.9


def test_parts_that_say_nothing():
    prototypes = torch.cat([torch.ones(12, 2), torch.full((12, 2), torch.nan)], 1)
    for field, share in statistic_planes(prototypes, Lattice(3, 4), {"max": 2, "mean": 2}).values():
        assert (field == 0).all()
        assert share == 0


@pytest.mark.parametrize("depths", [("CL1",), (LONG, f"{LONG}.0"), ("CL1", "CL2", "CL3", "CL4", "CL5", "CL6")])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (20, 3), (2, 20)])
def test_figures(depths, shape):
    rng = np.random.default_rng(0)
    fields = {depth: np.abs(rng.normal(size=shape)) for depth in depths}
    figure = u_matrix_figure({"": fields}, wrapped=True)
    assert_laid_out(figure)
    (image,) = figure.axes[0].images
    np.testing.assert_array_equal(image.get_array(), fields[depths[0]])
    assert image.get_clim() == (0.5, 1.5)
    assert "opposite edges" in figure._suptitle.get_text().replace("\n", " ")
    planes = {name: {depth: (rng.normal(size=shape), 0.42) for depth in depths} for name in ("max", "com row")}
    figure = component_planes_figure(planes)
    assert_laid_out(figure)
    assert figure.axes[0].get_title().endswith(", 42%")
    assert figure.axes[0].images[0].get_clim() == (-2.5, 2.5)
