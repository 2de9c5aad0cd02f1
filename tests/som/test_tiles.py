import torch

from som.tiles import rows_at_once

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_cpu_takes_as_many_whatever_their_width():
    assert rows_at_once(CPU, 5) == rows_at_once(CPU, 10**6) == 1024


def test_a_device_takes_more_within_its_memory():
    assert rows_at_once(GPU, 5) == 16384
    assert rows_at_once(GPU, 10_240) * 10_240 <= 2**26 < (rows_at_once(GPU, 10_240) + 1) * 10_240
    assert rows_at_once(GPU, 10**6) == 1024
