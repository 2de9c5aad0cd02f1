"""Weights from local files and from the libraries' own stores, with errors that say what to do.

Files are read without executing them (``torch.load(weights_only=True)`` or safetensors): a checkpoint that holds code
is refused. Nothing here asks the network more than once.
"""

import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

StateDict = dict[str, Tensor]
Built = TypeVar("Built")

_TORCH_SUFFIXES = (".pth", ".pt", ".bin")  # .bin: what timm's repositories on the hub call the same format
_WRAPPERS = ("state_dict", "model")
_PREFIXES = ("module.", "model.")  # left by DataParallel, and by wrappers that add a normalising layer
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_HUB_PATIENCE = 5.0  # seconds; a probe only
# torchvision's DenseNet files are older than its module names: denselayer1.norm.1.weight is norm1.weight today.
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")


class WeightsUnavailableError(OSError):
    """The default weights are neither on this machine nor can they be downloaded; the message says what to fetch."""


def read_weights(path: str | Path) -> StateDict:
    """Read a state dict from a local file.

    ``{"state_dict": ...}`` and ``{"model": ...}`` are unwrapped.

    Args:
        path: A .pth, .pt or .safetensors file.

    Returns:
        Tensor of each name, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind, damaged, holds code, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"weights {str(path)!r} is not a file; give the path of a .pth, .pt or .safetensors file, 'default' for "
            "the library's own weights, or 'none' for random ones"
        )
    if path.suffix == ".safetensors":
        try:
            content: object = load_file(path)
        except SafetensorError as error:
            raise ValueError(f"weights {str(path)!r} cannot be read as safetensors: {error}") from error
    elif path.suffix in _TORCH_SUFFIXES:
        content = _read_torch(path)
    else:
        raise ValueError(f"weights {str(path)!r} ends in {path.suffix!r}; allowed are .pth, .pt and .safetensors")
    return _state_dict(content, path)


def load_weights(model: nn.Module, state: Mapping[str, Tensor], name: str, source: str | Path) -> None:
    """Load a state dict into a model; every name and shape must fit, once `match_names` has brought them in line.

    Args:
        model: The model.
        state: Tensor of each name.
        name: The model's name, for the error.
        source: Where the weights come from, for the error.

    Raises:
        ValueError: If names are missing or left over, or shapes differ; the message lists the first few of each.
    """
    old = model.state_dict()
    state = match_names(model, state)
    # Files written before PyTorch 0.4.1, torchvision's among them, lack this counter; eval mode does not need it.
    missing = [key for key in old if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in old]
    misfits = [
        f"{key} {tuple(value.shape)} for {tuple(old[key].shape)}"
        for key, value in state.items()
        if key in old and value.shape != old[key].shape
    ]
    if missing or unexpected or misfits:
        faults = (("missing", missing), ("unexpected", unexpected), ("other shape", misfits))
        listed = "; ".join(f"{len(keys)} {fault}: {_first(keys)}" for fault, keys in faults if keys)
        raise ValueError(
            f"weights {str(source)!r} do not fit {name}: {listed}. Give weights of this architecture, or name theirs"
        )
    model.load_state_dict(state, strict=False)


def match_names(model: nn.Module, state: Mapping[str, Tensor]) -> StateDict:
    """Bring a state dict's names in line with a model's.

    A ``module.`` or ``model.`` in front of every name is taken off, unless it stands in front of every name of the
    model too, and the names of torchvision's old DenseNet files are modernised.

    Args:
        model: The model whose names are wanted.
        state: Tensor of each name.

    Returns:
        The same tensors under the new names.
    """
    own = model.state_dict().keys()
    while prefix := next((p for p in _PREFIXES if state and _all_start(state, p) and not _all_start(own, p)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return {key if key in own else _OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}


def download(build: Callable[[], Built], name: str, what: str) -> Built:
    """Run a library's own loading of default weights, with an error that helps where there is no network.

    Args:
        build: Builds the model with its default weights, downloading them if need be.
        name: The backbone's name, for the error.
        what: The file to fetch by hand, for the error.

    Returns:
        What ``build`` returns.

    Raises:
        WeightsUnavailableError: If the download fails.
    """
    try:
        return build()
    except OSError as error:  # URLError, HTTPError, timeouts, a full disk, and the hub's own errors
        raise _unavailable(name, what, error) from error


def find_on_hub(hub_id: str, filename: str | None, name: str) -> Path | None:
    """Look for a timm model's weights in the local hub cache, else make sure at once that the hub can be reached.

    Without the one-shot probe, the hub's client retries for most of a minute before it gives up.

    Args:
        hub_id: Repository on the hub, with ``@revision`` if one is pinned.
        filename: The file's name, where it is not one of the usual two.
        name: The backbone's name, for the error.

    Returns:
        The cached file, or None if it has to be downloaded.

    Raises:
        WeightsUnavailableError: If the file is not cached and the hub does not answer.
    """
    import huggingface_hub  # slow, and only timm's pretrained models need it
    from huggingface_hub.utils import EntryNotFoundError

    repo, _, revision = hub_id.partition("@")
    candidates = (filename,) if filename else _HUB_FILES
    for candidate in candidates:
        cached = huggingface_hub.try_to_load_from_cache(repo, candidate, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached)
    url = huggingface_hub.hf_hub_url(repo, candidates[0], revision=revision or None)
    try:
        huggingface_hub.get_hf_file_metadata(url, timeout=_HUB_PATIENCE)
    except EntryNotFoundError:
        pass  # the hub answered: the repository has the other file
    except Exception as error:  # which HTTP library's errors these are depends on the hub client's release
        raise _unavailable(name, f"{candidates[0]} of the hub repository {hub_id}", error) from error
    return None


def _unavailable(name: str, what: str, error: Exception) -> WeightsUnavailableError:
    return WeightsUnavailableError(
        f"the default weights of {name} are not on this machine and cannot be downloaded ({error}). Fetch {what} where "
        "there is a network and give its path with --model.weights PATH, or use --model.weights none for random weights"
    )


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"weights {str(path)!r} is refused: it is damaged, or holds Python objects, which could run code, beside "
            "its tensors. Save the plain state dict (torch.save(model.state_dict(), ...)), or give a .safetensors file"
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"weights {str(path)!r} cannot be read as a PyTorch file: {error}") from error


def _state_dict(content: object, path: Path) -> StateDict:
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"weights {str(path)!r} holds a {type(content).__name__} and no state dict")
    state = dict(content)
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"weights {str(path)!r} holds no state dict: {key!r} is a {type(value).__name__}, not a tensor; a "
                f"state dict may be wrapped in {' or '.join(repr(wrapper) for wrapper in _WRAPPERS)}"
            )
    return state


def _all_start(keys: Iterable[str], prefix: str) -> bool:
    return all(key.startswith(prefix) for key in keys)


def _first(keys: list[str], count: int = 3) -> str:
    return ", ".join(keys[:count]) + (", ..." if len(keys) > count else "")
