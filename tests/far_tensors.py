"""Tensors with values on a device that the host is not: what mixes the two devices raises.

A stand-in for a GPU. A :class:`Far` tensor says that it is on the device ``meta`` and holds its
values in a tensor of the host; operations compute there. Whatever makes a tensor without naming
the device makes one of the host, and meets a far one with an error, as on a GPU.
"""

from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FAR = torch.device("meta", 0)  # with an index: what is computed once a device is not shared
MOVES = {"_to_copy", "copy_"}
TAKES_INDICES_OF_THE_HOST = {"index", "index_put", "index_put_", "_index_put_impl_"}


class Far(Tensor):
    """A tensor elsewhere, with its values here."""

    @staticmethod
    def __new__(cls, near):
        return Tensor._make_wrapper_subclass(
            cls, near.size(), strides=near.stride(), storage_offset=near.storage_offset(),
            dtype=near.dtype, device=FAR,
        )  # fmt: skip

    def __init__(self, near):
        self.near = near

    def tolist(self):
        return self.near.tolist()

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def _near(value):
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.near if isinstance(value, Far) else value


def _far(value):
    return Far(value) if isinstance(value, Tensor) else value


def _run(function, args, kwargs):
    name = function._schema.name.split("::")[1]
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    far = any(isinstance(tensor, Far) for tensor in tensors)
    here = [t for t in tensors if not isinstance(t, Far) and t.dim() > 0]
    if far and here and name not in MOVES | TAKES_INDICES_OF_THE_HOST:
        raise AssertionError(f"{name} got tensors of two devices: {[t.device for t in tensors]}")
    device = kwargs.get("device")
    result = function(*tree_map(_near, args), **tree_map(_near, kwargs))
    if name.endswith("_") and not name.startswith("_"):
        return args[0]  # in place
    return (
        tree_map(_far, result) if (far if device is None else device.type == FAR.type) else result
    )


class _Dispatched(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


class _Made(TorchFunctionMode):
    """``torch.tensor`` and its like, which do not dispatch."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function in (torch.tensor, torch.as_tensor) and kwargs.get("device") == FAR:
            return _far(function(*args, **{**kwargs, "device": None}))
        if function is Tensor.new_tensor and isinstance(args[0], Far):
            return Far(torch.tensor(*args[1:], **{"dtype": args[0].dtype, **kwargs}))
        return function(*args, **kwargs)


@contextmanager
def elsewhere():
    """Let :class:`Far` tensors be a device."""
    with _Made(), _Dispatched():
        yield


def send(module):
    """Move a module, in place."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(Far(parameter.detach()))
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = Far(buffer)
    return module
