import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch.utils.data import DataLoader
from tqdm import tqdm

from som import SOM
from som.storage import read_tensors, write_tensors
from tests.som import reference
from tests.som.test_batch_fit import blobs

RULES = {"batch": {}, "gradient": {"alpha": (0.7, 0.2)}, "ema": {"alpha": (0.9, 0.3)}}


def make(**options):
    options = {"sigma": (1.6, 0.4), "epochs": 3, "batch_size": 32, "random_state": 0} | options
    return SOM(3, 5, **options)


@parametrize_with_checks([SOM(3, 4, epochs=2), SOM(2, 3, rule="gradient", alpha=(0.5, 0.1), epochs=2)])
def test_scikit_learn(estimator, check):
    check(estimator)


def forms(codes, folder):
    """The same codes, all exact in float16 and float32, in every form that `fit` takes."""
    array = codes.numpy()
    yield codes
    yield array
    yield array.tolist()
    yield array.astype(np.float64)
    yield array.astype(np.float16)
    yield codes.half()
    for dtype in (np.float16, np.float32):
        np.save(folder / "codes.npy", array.astype(dtype))
        yield np.load(folder / "codes.npy", mmap_mode="r")
    yield DataLoader(codes, batch_size=17)


@pytest.mark.parametrize("options", [{}, {"standardise": True}, {"distance": "cosine"}])
def test_every_form_of_codes_gives_the_same_map(options, tmp_path):
    codes = blobs(100)
    assert torch.equal(codes.half().float(), codes)
    # Of given prototypes: a DataLoader's pool is in its own order.
    one = make(init=blobs(15), **options).fit(codes)
    for form in forms(codes, tmp_path):
        som = make(init=blobs(15), **options).fit(form)
        torch.testing.assert_close(som.prototypes_, one.prototypes_, rtol=0, atol=1e-5)
        assert (np.asarray(som.predict(form)) == one.labels_).all()
        assert som.quantisation_error(form) == pytest.approx(one.quantisation_error(codes), rel=1e-6)
        assert hasattr(som, "labels_") != isinstance(form, DataLoader)


def test_results_come_as_the_codes_came():
    codes = blobs(60)
    som = make().fit(codes)
    for x, kind, dtype in (
        (codes, torch.Tensor, torch.float32),
        (codes.double(), torch.Tensor, torch.float64),
        (codes.numpy(), np.ndarray, np.float32),
        (codes.double().numpy(), np.ndarray, np.float64),
        (DataLoader(codes, batch_size=7), np.ndarray, np.float32),
    ):
        labels, distances = som.predict(x), som.transform(x)
        assert isinstance(labels, kind)
        assert isinstance(distances, kind)
        assert distances.dtype == dtype
        assert labels.shape == (60,)
        assert distances.shape == (60, 15)
        assert (np.asarray(labels) == np.asarray(distances).argmin(1)).all()


def test_transform_and_errors_match_loops():
    codes = blobs(60)
    som = make().fit(codes)
    squared = reference.squared_distances(codes, torch.tensor(som.prototypes_))
    np.testing.assert_allclose(som.transform(codes), squared.sqrt(), rtol=1e-5)
    bmu, second, distance, _ = reference.winners(codes, torch.tensor(som.prototypes_))
    apart = [
        abs((a - b + half) % side - half) > 1
        for i, j in zip(bmu.tolist(), second.tolist(), strict=True)
        for a, b, side, half in ((i // 5, j // 5, 3, 1), (i % 5, j % 5, 5, 2))
    ]
    expected = np.mean(np.array(apart).reshape(-1, 2).any(1))
    assert som.quantisation_error(codes) == pytest.approx(distance.mean().item())
    assert som.topographic_error(codes) == pytest.approx(expected)
    assert som.score(codes) == -som.quantisation_error(codes)
    assert 0 < make(epochs=1, sigma=(0.3, 0.3), init="sample").fit(codes).topographic_error(codes) < 1


def test_cosine_matches_loops():
    codes = blobs(60)
    som = make(distance="cosine").fit(codes)
    prototypes = torch.tensor(som.prototypes_).double()
    torch.testing.assert_close(prototypes.norm(dim=1), torch.ones(15).double())
    cosine = codes.double() @ prototypes.T / codes.double().norm(dim=1, keepdim=True)
    np.testing.assert_allclose(som.transform(codes), 1 - cosine, atol=1e-6)
    assert (som.labels_ == cosine.argmax(1).numpy()).all()
    assert som.quantisation_error(codes) == pytest.approx((1 - cosine.amax(1)).mean().item(), abs=1e-6)


def test_a_standardised_map_is_the_map_of_standardised_codes():
    codes = blobs(60) * torch.logspace(-2, 2, 6) + 100
    double = codes.double()
    plain = make().fit(((double - double.mean(0)) / double.std(0, correction=0)).float())
    som = make(standardise=True).fit(codes)
    np.testing.assert_allclose(som.prototypes_, plain.prototypes_, atol=1e-4)
    assert (som.labels_ == plain.labels_).all()
    assert (som.predict(codes) == torch.tensor(som.labels_)).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize(
    "codes",
    [
        reference.draw(7, 4),  # fewer than units
        reference.draw(1, 4),
        reference.draw(30, 1),
        torch.full((30, 4), 0.1),
        torch.zeros(30, 4),
        reference.draw(4, 3).repeat(9, 1),
        reference.draw(30, 4) * torch.tensor([1.0, 0.0, 1.0, 0.0]),
    ],
)
@pytest.mark.parametrize("standardise", [False, True])
def test_degenerate_codes_give_finite_maps(rule, distance, codes, standardise):
    for rows, cols in ((3, 5), (1, 1)):
        som = SOM(rows, cols, rule=rule, distance=distance, standardise=standardise, random_state=0, epochs=2)
        som.set_params(sigma=(2.5, 0.5), **RULES[rule]).fit(codes)
        assert np.isfinite(som.prototypes_).all()
        assert np.isfinite([som.quantisation_error(codes), som.topographic_error(codes)]).all()
        assert ((som.labels_ >= 0) & (som.labels_ < rows * cols)).all()


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_bad_codes_are_refused_by_row_everywhere(poison, tmp_path):
    codes = blobs(60)
    som, bad = make().fit(codes), codes.clone()
    bad[37, 2] = poison
    for form in forms(bad, tmp_path):
        for use in (make().fit, make().partial_fit, som.partial_fit, som.predict, som.transform, som.score):
            with pytest.raises(ValueError, match="row 37 holds NaN or infinity"):
                use(form)
    assert (som.predict(codes) == torch.tensor(som.labels_)).all()


@pytest.mark.parametrize(
    "options", [{}, {"standardise": True, "rule": "ema"}, {"distance": "cosine", "init": blobs(15)}]
)
def test_a_saved_map_predicts_the_same(options, tmp_path):
    codes = blobs(60)
    som = make(**options).fit(codes)
    som.save(tmp_path / "map.safetensors")
    other = SOM.load(tmp_path / "map.safetensors")
    assert (other.predict(codes) == som.predict(codes)).all()
    assert (other.transform(codes) == som.transform(codes)).all()
    assert other.progress_ == som.progress_
    ours, theirs = som.get_params(), other.get_params()
    assert all(ours[name] == theirs[name] for name in ours if name not in ("init", "random_state", "sigma", "alpha"))
    assert tuple(theirs["sigma"]) == ours["sigma"]
    with pytest.raises(NotFittedError):
        make().save(tmp_path / "other")
    som.map_ = None
    (tmp_path / "text").write_text("no map")
    with pytest.raises(ValueError, match="is no map"):
        SOM.load(tmp_path / "text")


def test_settings_of_numpy_can_be_saved(tmp_path):
    som = SOM(np.int64(3), np.int64(5), sigma=(np.float32(1.5), 0.5), epochs=np.int64(2), random_state=np.int64(0))
    som.set_params(checkpoint=tmp_path / "fit").fit(blobs(60))
    som.save(tmp_path / "map")
    assert SOM.load(tmp_path / "map").get_params()["rows"] == 3


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("travel", [copy.deepcopy, lambda som: pickle.loads(pickle.dumps(som))])
def test_a_copy_goes_on_by_itself(rule, travel):
    codes = blobs(60)
    som = make(rule=rule, **RULES[rule]).partial_fit(codes)
    before, other = som.prototypes_.copy(), travel(som)
    other.partial_fit(codes)
    assert (som.prototypes_ == before).all()
    assert not np.allclose(other.prototypes_, before)
    assert (som.partial_fit(codes).prototypes_ == other.prototypes_).all()
    assert len(pickle.dumps(som)) < 40_000  # and holds no codes


def test_a_fit_that_is_interrupted_holds_no_codes(monkeypatch):
    monkeypatch.setattr(tqdm, "update", lambda bar: (_ for _ in ()).throw(KeyboardInterrupt))
    som = make()
    with pytest.raises(KeyboardInterrupt):
        som.fit(np.random.default_rng(0).random((20_000, 5), np.float32))
    assert len(pickle.dumps(som)) < 40_000


def test_a_clone_is_not_fitted_and_shares_nothing():
    som = make(standardise=True).fit(blobs(60))
    other = clone(som)
    assert other.get_params() == som.get_params()
    assert not hasattr(other, "map_")
    with pytest.raises(NotFittedError):
        other.predict(blobs(60))


def test_labels_are_of_the_last_fit_alone():
    codes = blobs(60)
    assert not hasattr(make().fit(codes).partial_fit(codes), "labels_")
    assert not hasattr(make().fit(codes).fit(DataLoader(codes, batch_size=7)), "labels_")


@pytest.mark.parametrize("search", ["auto", "pruned"])
@pytest.mark.parametrize("rule", RULES)
def test_deterministic_maps_are_equal_bit_for_bit_whatever_the_largest_code_was(rule, search):
    codes = blobs(100)
    options = {"rule": rule, "search": search, "deterministic": True} | RULES[rule]
    one, two = (make(**options).fit(codes) for _ in range(2))
    assert (one.prototypes_ == two.prototypes_).all()
    plain = make(**options | {"deterministic": False}).fit(codes)
    np.testing.assert_allclose(one.prototypes_, plain.prototypes_, atol=1e-4)
    # Later codes may be far larger than the first.
    later = make(**options, init=blobs(15)).partial_fit(torch.full((9, 6), 0.25)).partial_fit(codes)
    options["deterministic"] = False
    other = make(**options, init=blobs(15)).partial_fit(torch.full((9, 6), 0.25)).partial_fit(codes)
    np.testing.assert_allclose(later.prototypes_, other.prototypes_, atol=1e-4)


def test_names_of_features_and_a_bar(capfd):
    som = make(verbose=True).fit(blobs(60))
    assert som.get_feature_names_out()[[0, 14]].tolist() == ["som0", "som14"]
    assert "mean squared distance" in capfd.readouterr().err
    assert som.n_features_in_ == 6
    with pytest.raises(ValueError, match="X has 4 features, but SOM is expecting 6 features as input"):
        som.predict(torch.zeros(2, 4))


def test_default_width_is_half_the_longer_side():
    assert SOM(3, 8, epochs=2).fit(blobs(60)).progress_.sigma == pytest.approx([4.0, (4.0 * 0.5) ** 0.5])


def test_what_is_refused_leaves_the_map_as_it_was(tmp_path):
    codes, bad = blobs(60), torch.full((9, 6), torch.nan)
    fresh, som = make(), make().fit(codes)
    before = som.prototypes_.copy()
    for use in (fresh.fit, fresh.partial_fit, som.fit):
        with pytest.raises(ValueError, match="row 0 holds NaN"):
            use(bad)
    with pytest.raises(NotFittedError):
        fresh.predict(codes)
    assert fresh.partial_fit(codes).n_iter_ == 1
    (tmp_path / "fit").write_text("no checkpoint")
    with pytest.raises(ValueError, match="is no map"):
        som.set_params(checkpoint=tmp_path / "fit").fit(codes)
    assert (som.prototypes_ == before).all()
    assert (som.predict(codes) == torch.tensor(som.labels_)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 1.5}, "sigma must be two numbers"),
        ({"alpha": 0.5}, "alpha must be two numbers"),
        ({"rows": 2.5}, "a whole number of rows"),
        ({"sigma": (1.0, -1.0), "schedule": "linear"}, "sigma must start above 0"),
    ],
)
def test_parameters_are_refused_before_the_first_epoch(options, message):
    with pytest.raises(ValueError, match=message):
        make().set_params(**options).fit(blobs(60))


def test_a_file_with_unknown_settings_is_refused(tmp_path):
    make().fit(blobs(60)).save(tmp_path / "map")
    tensors, metadata = read_tensors(tmp_path / "map")
    metadata["settings"]["colour"] = "red"
    write_tensors(tmp_path / "map", tensors, metadata)
    with pytest.raises(ValueError, match="settings that this version does not know: colour"):
        SOM.load(tmp_path / "map")
