"""Local checkpoints: what is read, what is refused, and what the error says."""

import pickle
import time
import urllib.error

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from codes import WeightsUnavailableError, load_backbone
from codes.weights import load_weights, match_names, read_weights
from tests.codes.factories import Tiny, Wrapped


@pytest.fixture
def state():
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in Tiny().state_dict().items()
    }


def same(model, state):
    return all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.model."])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_unwraps_checkpoints(tmp_path, state, prefix, wrapper):
    content = {prefix + name: value for name, value in state.items()}
    torch.save({wrapper: content, "epoch": 3} if wrapper else content, tmp_path / "w.pth")
    model = Tiny()
    load_weights(model, read_weights(tmp_path / "w.pth"), "tiny", "w.pth")
    assert same(model, state)


def test_keeps_a_prefix_that_belongs_to_the_model(state):
    model = Wrapped()
    load_weights(model, {f"module.model.{name}": value for name, value in state.items()}, "wrapped", "w.pth")
    assert same(model.model, state)


def test_reads_safetensors(tmp_path, state):
    save_file(state, tmp_path / "w.safetensors")
    backbone = load_backbone("tests.codes.factories:Tiny", str(tmp_path / "w.safetensors"))
    assert same(backbone.model, state)
    assert backbone.expected_accuracy is None


def test_old_densenet_names_are_modernised():
    model = torch.nn.ModuleDict({"denselayer1": torch.nn.ModuleDict({"norm1": torch.nn.BatchNorm2d(2)})})
    old = {name.replace("norm1", "norm.1"): value + 1 for name, value in model.state_dict().items()}
    assert match_names(model, old).keys() == model.state_dict().keys()


def test_densenet_loads_the_file_as_torchvision_publishes_it(tmp_path):
    """Old names, and no num_batches_tracked: what densenet121-a639ec97.pth looks like."""
    model = load_backbone("densenet121", "none").model
    old = {
        name.replace("norm1", "norm.1").replace("norm2", "norm.2").replace("conv1", "conv.1").replace("conv2", "conv.2")
        if "denselayer" in name
        else name: value
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(old, tmp_path / "densenet121-a639ec97.pth")
    loaded = load_backbone("densenet121", str(tmp_path / "densenet121-a639ec97.pth"), seed=1)
    assert same(loaded.model, model.state_dict())


def test_weights_that_do_not_fit_are_named(state):
    state["fc.weight"] = torch.zeros(9, 4)
    state["head.weight"] = state.pop("conv.weight")
    with pytest.raises(
        ValueError,
        match=r"'w.pth' do not fit tiny: 1 missing: conv.weight; 1 unexpected: head.weight; "
        r"1 other shape: fc.weight \(9, 4\) for \(6, 4\)",
    ):
        load_weights(Tiny(), state, "tiny", "w.pth")


def test_only_the_first_few_misfits_are_listed():
    with pytest.raises(ValueError, match=r"8 missing: conv.weight, conv.bias, norm.weight, ..."):
        load_weights(Tiny(), {}, "tiny", "w.pth")


class Hostile:
    def __reduce__(self):
        return print, ("this code ran",)


@pytest.mark.parametrize("wrap", [lambda evil: evil, lambda evil: {"state_dict": {"conv.weight": evil}}])
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, capsys, wrap):
    torch.save(wrap(Hostile()), tmp_path / "new.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(wrap(Hostile()), protocol=2))
    for file in ("new.pth", "old.pth"):
        with pytest.raises(ValueError, match="is refused: it is damaged, or holds Python objects"):
            read_weights(tmp_path / file)
    assert "this code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 broken"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_a_clear_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=name):
        read_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list and no state dict"),
        ({}, "no state dict"),
        ({"epoch": 3}, "'epoch' is a int, not a tensor"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=message):
        read_weights(tmp_path / "w.pt")


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'absent.pth' is not a file; give the path of a .pth"):
        load_backbone("resnet18", "absent.pth")
    with pytest.raises(FileNotFoundError, match="'defualt' is not a file"):
        load_backbone("tests.codes.factories:Tiny", "defualt")
    (tmp_path / "w.h5").touch()
    with pytest.raises(ValueError, match=r"ends in '.h5'; allowed are .pth, .pt and .safetensors"):
        read_weights(tmp_path / "w.h5")


def no_network(*args, **kwargs):
    raise urllib.error.URLError("no network")


def test_no_network_for_torchvision(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    with pytest.raises(WeightsUnavailableError, match=r"resnet18-f37072fd.pth from https://.*--model.weights PATH"):
        load_backbone("resnet18")


def test_no_network_for_timm_is_noticed_at_once(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None)
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", no_network)
    start = time.monotonic()
    with pytest.raises(
        WeightsUnavailableError, match=r"hub repository timm/test_vit.r160_in1k .*--model.weights none for random"
    ):
        load_backbone("timm/test_vit")
    assert time.monotonic() - start < 5


def test_weights_in_the_hub_cache_need_no_network(monkeypatch, tmp_path):
    trained = load_backbone("timm/test_vit", "none", seed=5)
    state = {name: value.contiguous() for name, value in trained.model.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    cached = {"model.safetensors": str(tmp_path / "model.safetensors")}
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, file, revision: cached.get(file))
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", no_network)
    assert load_backbone("timm/test_vit").digest == trained.digest


def test_a_foreign_timm_checkpoint_goes_through_timms_converter(tmp_path):
    """The original DeiT wraps its state dict in "model"; the original DenseNet has old names."""
    trained = load_backbone("timm/densenet121", "none", seed=5)
    old = {
        name.replace("norm1", "norm.1").replace("conv1", "conv.1") if "denselayer" in name else name: value
        for name, value in trained.model.state_dict().items()
    }
    torch.save(old, tmp_path / "w.pth")
    assert load_backbone("timm/densenet121", str(tmp_path / "w.pth")).digest == trained.digest
    torch.save({"nothing": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="1 unexpected: nothing"):
        load_backbone("timm/densenet121", str(tmp_path / "w.pth"))
