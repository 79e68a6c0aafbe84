"""The CPU as a device: tensors in host memory, counted storage by storage; what CI exercises of the probe."""

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from moesize.probe.device import Peak, Reading, chunks
from moesize.probe.host import available_bytes, host_facts, resident_bytes

_NOISE = 2**20


class Cpu:
    """Host memory. `touch` writes every byte, without which the system lends addresses and no memory."""

    def __init__(self, *, touch: bool = True) -> None:
        self.touch = touch
        self._held = _Ledger()
        self._noise: dict[str, torch.Tensor] = {}
        self.facts = replace(host_facts(), torch=str(torch.__version__))

    def empty(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        """An uninitialised tensor."""
        made = torch.empty(shape, dtype=torch_dtype(dtype))
        if self.touch:
            made.zero_()
        self._held.add(made)
        return made

    def random(self, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
        """A tensor of small normal numbers, repeated every `_NOISE`: drawing each would take longer than using it."""
        made = torch.empty(shape, dtype=torch_dtype(dtype))
        self._held.add(made)
        noise = self._noise.get(dtype)
        if noise is None:
            noise = self._noise[dtype] = torch.empty(_NOISE, dtype=torch_dtype(dtype)).normal_(std=0.02)
        flat = made.view(-1)
        for start, stop in chunks(len(flat), _NOISE):
            flat[start:stop].copy_(noise[: stop - start])
        return made

    def free_bytes(self) -> int:
        """What the system says is available without swapping."""
        return available_bytes()

    def reading(self) -> Reading:
        """Live storages, which nothing rounds, and the resident set."""
        n_bytes = self._held.n_bytes
        return Reading(n_bytes, n_bytes, n_bytes, resident_bytes())

    @contextmanager
    def watch(self) -> Iterator[Peak]:
        """Counts every storage that an operation makes inside."""
        peak = Peak()
        counter = _Counter()
        with counter:
            yield peak
        peak.n_bytes = counter.ledger.peak

    def out_of_memory(self, error: BaseException) -> bool:
        """Torch's allocator says it in words."""
        return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)

    def release(self) -> None:
        """Collect what refers to itself."""
        gc.collect()


class _Ledger:
    """Bytes of storages that are alive, and the most there have been."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._known:
            return
        size = storage.nbytes()

        def gone(_: Any, key: int = key, size: int = size) -> None:  # noqa: ANN401  a dead reference
            if self._known.pop(key, None) is not None:
                self.n_bytes -= size

        self._known[key] = weakref.ref(storage, gone)
        self.n_bytes += size
        self.peak = max(self.peak, self.n_bytes)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch does not type it
    """Enters the storages that operations return into a ledger; those of their inputs were there before."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ledger = _Ledger()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401  torch's signature
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        before = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        result = func(*args, **kwargs)
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor) and id(leaf.untyped_storage()) not in before:
                self.ledger.add(leaf)
        return result


def torch_dtype(name: str) -> torch.dtype:
    """Torch's dtype of a name; one of the same width where this torch has not the dtype itself."""
    found = getattr(torch, name, None)
    return found if isinstance(found, torch.dtype) else torch.uint8
