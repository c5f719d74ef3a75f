"""The Gray code is one, exactly, for any number of bits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from pyro_rm.datasets import GrayCode


def test_crossing_a_border_flips_one_bit():
    code = GrayCode(num_bits=16, radius=3.0)
    middles = code.edges()[:-1] + code.cell_width / 2
    line = code.encode(torch.stack([middles, torch.ones(256)], -1))
    assert (line.diff(dim=0).abs().sum(-1) == 1).all()
    assert len(line.unique(dim=0)) == 256


@pytest.mark.parametrize("num_bits", [2, 4, 32, 64, 98])
def test_decode_inverts_encode(num_bits):
    code = GrayCode(num_bits, radius=2.5)
    bits = torch.randint(2, (1000, num_bits)).float()
    assert code.encode(code.decode(bits)).equal(bits)


@given(st.floats(-4, 4), st.floats(-4, 4), st.sampled_from([8, 32, 102, 256, 2048]))
def test_decoded_cell_holds_the_point(x, y, num_bits):
    code = GrayCode(num_bits, radius=4.0)
    point = torch.tensor([x, y], dtype=torch.float64)
    error = (code.decode(code.encode(point)) - point).abs()
    assert (error <= 0.5 * code.cell_width + 2**-52 * point.abs()).all()


def test_bits_of_an_integer_computed_otherwise():
    code = GrayCode(num_bits=32, radius=2.0**15)
    numbers = [0, 1, 2, 3, 12345, 32767]
    points = torch.tensor([[n, -n - 0.5] for n in numbers])
    for bits, n in zip(code.encode(points).int().tolist(), numbers, strict=True):
        digits = f"{n ^ (n >> 1):015b}"
        assert "".join(map(str, bits)) == f"0{digits}1{digits}"


def test_bits_that_float64_has_not_are_zeros():
    code = GrayCode(num_bits=512, radius=1.0)
    points = (torch.rand(100, 2, dtype=torch.float64) + 1) / 2  # 53 digits, the first is 1
    bits = code.encode(points).view(100, 2, 256)[..., 1:]
    assert bits[..., 54:].sum() == 0
    assert bits[..., 30:52].mean().item() == pytest.approx(0.5, abs=0.05)  # 7 sigma


def test_outside_goes_to_the_border():
    code = GrayCode(num_bits=8, radius=1.0)
    far, near = torch.tensor([[9.0, -9.0]]), torch.tensor([[0.99, -0.99]])
    assert code.encode(far).equal(code.encode(near))


class Count(TorchFunctionMode):
    """Number of calls of torch."""

    calls = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.calls += 1
        return function(*args, **(kwargs or {}))


def test_coder_does_not_go_row_by_row():
    code, points = GrayCode(num_bits=2048, radius=4.0), torch.randn(256, 2)
    counts = []
    for rows in (points, points.repeat(10, 1)):
        with Count() as count:
            code.encode(rows)
        counts.append(count.calls)
    assert counts[0] == counts[1] < 512  # fewer than bits, and whatever the rows


@pytest.mark.parametrize("num_bits", [2, 32, 256])
def test_codes_stay_on_the_device_of_the_data(num_bits):
    """Whatever is made without naming a device would land on another one here."""
    code = GrayCode(num_bits, radius=4.0)
    points = torch.randn(20, 2)
    expected = code.encode(points)
    with torch.device("meta"):
        bits = code.encode(points)
        assert bits.equal(expected)
        assert code.decode(bits).device == points.device


def test_errors():
    with pytest.raises(ValueError, match="even number of bits, but got 7"):
        GrayCode(7, 1.0)
    with pytest.raises(ValueError, match="positive radius, but got 0"):
        GrayCode(8, 0.0)
