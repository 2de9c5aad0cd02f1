"""Runs to be cut short and resumed, and what is compared of them."""

import hashlib

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.whole_runs import options

LEFT = (
    *("maps.safetensors", "measures.json", "bmus.parquet", "images.parquet", "adversarial.parquet"),
    *("losses.parquet", "stages.json"),
)


def words(tree, folder, **changes):
    """2 epochs of 3 steps, with a checkpoint after every one."""
    return options(tree, folder, **({"trainer.max_epochs": 2, "checkpoint.every_n_train_steps": 1} | changes))


def left(folder):
    """Digests of what a run leaves, but for its log and its checkpoint, whose timers and paths are its own."""
    figures = [str(path.relative_to(folder)) for path in sorted(folder.glob("figures/*"))]
    kept = [folder / name for name in (*LEFT, *figures) if (folder / name).exists()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def the_folder(base):
    (folder,) = (base / "somscope").iterdir()
    return folder


def curves(folder):
    """Every scalar by tag and step, as TensorBoard shows them; a stage that was repeated has its points twice."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    found = {}
    for tag in set(events.Tags()["scalars"]) - {"epoch"}:
        points = {(event.step, repr(event.value)) for event in events.Scalars(tag)}  # NaN equals no NaN, its name does
        assert len(points) == len(dict(points)), "a step has one value"
        if not tag.startswith("test/"):
            last = 0 if tag.startswith("fit/") else max(points)[0]  # an analysis is of the last step
            steps = [event.step for event in events.Scalars(tag) if event.step != last]
            assert len(steps) == len(set(steps)), "a fit's steps are there once"
        found[tag] = dict(sorted(points))
    return found
