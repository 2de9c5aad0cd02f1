"""The benchmarks run and print what docs/benchmarks.md quotes; how fast anything is, no test says."""

import re
import sys

import numpy as np
import pytest
import torch

from benchmarks import bench_attack, bench_data, bench_extract, bench_map, codes

pytestmark = pytest.mark.slow


def printed(capfd, patch, benchmark, words: str) -> list[list[float]]:
    """The numbers of the printed lines that have any behind their name."""
    patch.setattr(sys, "argv", ["benchmark", *words.split()])
    benchmark.main()
    lines = capfd.readouterr().out.splitlines()
    return [[float(number) for number in re.findall(r"(?<=[ |])-?\d+\.?\d*(?:e[+-]?\d+)?", line)] for line in lines]


def test_attack(capfd, monkeypatch):
    *_, (bare, stage, over, once) = printed(capfd, monkeypatch, bench_attack, "--attacks fgsm --runs 1 --batch 20")
    assert min(bare, stage, once) > 0
    assert over == pytest.approx(100 * (stage / bare - 1), abs=3), "of one run, up to its rounding"


@pytest.mark.filterwarnings("ignore:.* has a single class")
def test_data(capfd, monkeypatch):
    monkeypatch.setattr(bench_data, "WORKERS", (0, 1))
    *_, none, one = printed(capfd, monkeypatch, bench_data, "--images 12 --repeats 1")
    for workers, (named, plain, ours, ratio) in enumerate((none, one)):
        assert named == workers
        assert ratio == pytest.approx(ours / plain, abs=0.1)


def test_extract(capfd, monkeypatch):
    words = "--backbones resnet18 --stages efficientnet_lite0 --runs 1 --batch 2 --images 8 --size 64 48 --workers 0"
    rows = printed(capfd, monkeypatch, bench_extract, words)
    alone, coded, over = next(row for row in rows if len(row) == 3)
    assert over == pytest.approx(100 * (coded / alone - 1), abs=1)
    decoding, forward, stage, share, _ = next(row for row in rows if len(row) == 5)
    assert share == pytest.approx(100 * stage / min(decoding, forward), rel=0.05)


def test_map(capfd, monkeypatch, tmp_path):
    """Without the peer, which is not installed here, ours are timed."""
    monkeypatch.setattr(codes, "VIEWS", 10)
    monkeypatch.setattr(codes, "CACHE", tmp_path)
    numbers = printed(capfd, monkeypatch, bench_map, "--rows minisom --runs 1")
    rows = [row for row in numbers if len(row) == 5]
    assert len(rows) == 2, "a plane and a torus"
    for seconds, _, quantisation, topographic, _ in rows:
        assert seconds > 0
        assert quantisation > 0
        assert 0 <= topographic < 0.2


@pytest.mark.parametrize(("name", "work"), [("quicksom", "somscope_quicksom"), ("torchsom", "somscope_gradient")])
def test_other_rules(name, work, tmp_path):
    ours = {label: made for label, made in bench_map.ROWS[name].contenders.items() if made[0] == work}
    row = bench_map.Row(600, 8, 5, 2, ours)
    np.save(tmp_path / "codes.npy", torch.randn(600, 8, generator=torch.Generator().manual_seed(0)).numpy())
    (label,) = ours
    found = bench_map.run(row, label, str(tmp_path / "codes.npy"))
    assert 0 < found["qe"] < 8**0.5, "a map is nearer than the mean"


def test_products_take_the_time_of_every_epoch():
    seconds, prototypes, _ = bench_map.contenders.products_alone(torch.randn(3000, 16), 5, 2)
    assert seconds > 0
    assert prototypes.shape == (25, 16)
