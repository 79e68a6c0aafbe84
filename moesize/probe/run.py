"""The run: weights role by role, KV pages, two forward passes, the sampler; then everything is given back.

An allocation that fails, the reserve, and Ctrl-C end the measurement, not the report.
"""

from typing import Any

from moesize.errors import InputError
from moesize.probe.device import Device, Reading
from moesize.probe.inventory import Batch
from moesize.probe.plan import DECODE, FORWARD, SAMPLER, Plan, blank_result
from moesize.probe.results import Failure, ProbeResult, Row
from moesize.progress import Progress
from moesize.units import gib

#: A card of which less than this share is free belongs to somebody else too.
BUSY_SHARE = 0.8
#: `(bytes so far, bytes in all, what)`


class _Stop(Exception):  # noqa: N818  not an error: the reserve is reached
    """The next allocation would go below the reserve."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def refuse_if_busy(device: Device) -> None:
    """Refuse a card that others use.

    Raises:
        InputError: says how much is free.
    """
    facts = device.facts
    if facts.kind == "cpu" or facts.free_bytes >= BUSY_SHARE * facts.total_bytes:
        return
    raise InputError(
        f"{facts.name} is in use: {gib(facts.free_bytes):.2f} of {gib(facts.total_bytes):.2f} GiB are free; a probe"
        " beside others may stop them, --force measures in what is free"
    )


def run(plan: Plan, device: Device, *, reserve_bytes: int, progress: Progress | None = None) -> ProbeResult:
    """Measure a plan on a device."""
    return _Run(plan, device, reserve_bytes, progress).result()


class _Run:
    def __init__(self, plan: Plan, device: Device, reserve_bytes: int, progress: Progress | None) -> None:
        self.plan, self.device, self.reserve_bytes = plan, device, reserve_bytes
        self.progress = progress or (lambda *_: None)
        self.answer = blank_result(plan, device.facts, "completed")
        self.rows: dict[str, Row] = {row.term: row for row in self.answer.rows}
        self.held: list[Any] = []
        self.total_bytes = plan.inventory.n_bytes + _share(plan.kv_bytes, plan.kv_measured, plan.kv_layers)
        self.done_bytes = 0
        self.at = ("", "", 0)
        self.start = device.reading()

    def result(self) -> ProbeResult:
        """Run to the end, or to what ends it."""
        answer = self.answer
        try:
            self._measure()
        except _Stop as stop:
            answer.outcome, answer.failure = "stopped at the reserve", stop.failure
        except KeyboardInterrupt:
            answer.outcome = "interrupted"
        except (RuntimeError, MemoryError) as error:
            if not self.device.out_of_memory(error):
                raise
            answer.outcome, answer.failure = "allocation failed", Failure(*self.at, message=_sentence(error))
        finally:
            self._give_back()
        self._judge()
        return answer

    def _measure(self) -> None:
        context = self.rows["CUDA context"]
        context.measured_bytes = self.device.facts.context_bytes
        self._weights()
        loaded = self._read()
        self.rows["allocator rounding"].measured_bytes = loaded.allocated - loaded.requested
        self.rows["fragmentation"].measured_bytes = loaded.reserved - loaded.allocated
        self._kv_pages()
        if self.plan.layers:
            self._passes()
        end = self._read()
        beyond = (end.used - end.reserved) - (self.start.used - self.start.reserved)
        if self.device.facts.kind != "cpu":
            self.rows["beyond torch"].measured_bytes = max(0, beyond)

    def _weights(self) -> None:
        for role in self.plan.inventory.predicted:
            row, measured, allocated = self.rows[role.value], 0, 0
            for batch in (b for b in self.plan.inventory.batches if b.role is role):
                n_bytes = self._batch(batch)
                measured, allocated = measured + batch.extrapolated(n_bytes), allocated + n_bytes
            row.measured_bytes, row.allocated_bytes = measured, allocated

    def _batch(self, batch: Batch) -> int:
        """Allocate a batch; its bytes by the allocator."""
        before = self._read().requested
        for array in batch.arrays:
            self._hold(batch.role.value, array.suffix, array.shape, array.dtype, array.nbytes)
        return self._read().requested - before

    def _kv_pages(self) -> None:
        plan, row = self.plan, self.rows["KV cache"]
        if not plan.kv_layers or not plan.kv_bytes:
            return
        before = self._read().requested
        for layer in range(plan.kv_measured):
            n_bytes = _share(plan.kv_bytes, layer + 1, plan.kv_layers) - _share(plan.kv_bytes, layer, plan.kv_layers)
            self._hold("KV cache", f"pages of cache {layer}", (n_bytes,), "uint8", n_bytes)
        n_bytes = self._read().requested - before
        row.allocated_bytes = n_bytes
        expected = _share(plan.kv_bytes, plan.kv_measured, plan.kv_layers)
        row.measured_bytes = n_bytes * plan.kv_bytes // expected if expected else None

    def _passes(self) -> None:
        from moesize.probe.stack import Stack  # noqa: PLC0415  imports torch

        plan, spec = self.plan, self.plan.spec
        prefill = plan.steps[FORWARD]
        needed = max(self._predicted(FORWARD), self._predicted(SAMPLER))
        self._room(FORWARD, "activations", needed)
        stack = Stack(self.device, plan.layers, spec.hidden_size or 0, spec.dtype, plan.mla_rows)
        for name in (FORWARD, DECODE):
            self.at = (name, "activations", self._predicted(name))
            self.progress(self.done_bytes, self.total_bytes, name)
            with self.device.watch() as peak:
                stack.forward(plan.steps[name].tokens, plan.steps[name].rows, plan.mla_tokens(plan.steps[name]))
            self.rows[name].measured_bytes = peak.n_bytes
            self._read()
        self.at = (SAMPLER, "logits", self._predicted(SAMPLER))
        with self.device.watch() as peak:
            stack.sample(prefill.rows, plan.vocab)
        self.rows[SAMPLER].measured_bytes = peak.n_bytes
        self._read()

    def _hold(self, term: str, name: str, shape: tuple[int, ...], dtype: str, n_bytes: int) -> None:
        self._room(term, name, n_bytes)
        self.held.append(self.device.empty(shape, dtype))
        self.done_bytes += n_bytes
        self.progress(self.done_bytes, self.total_bytes, term)

    def _room(self, term: str, name: str, n_bytes: int) -> None:
        self.at = (term, name, n_bytes)
        free = self.device.free_bytes()
        if free - n_bytes < self.reserve_bytes:
            message = f"{gib(free):.2f} GiB are free and {gib(self.reserve_bytes):.2f} GiB are kept in reserve"
            raise _Stop(Failure(term, name, n_bytes, message))

    def _read(self) -> Reading:
        reading = self.device.reading()
        self.answer.high_water_bytes = max(self.answer.high_water_bytes, reading.allocated - self.start.allocated)
        return reading

    def _predicted(self, name: str) -> int:
        return self.rows[name].predicted_bytes or 0

    def _give_back(self) -> None:
        self.answer.high_water_bytes = max(
            self.answer.high_water_bytes, self.device.reading().allocated - self.start.allocated
        )
        self.held.clear()
        self.device.release()
        self.answer.left_over_bytes = self.device.reading().allocated - self.start.allocated

    def _judge(self) -> None:
        """The verdict the measured bytes give; an allocation that failed is one by itself."""
        answer, rows = self.answer, self.answer.rows
        if answer.outcome == "allocation failed":
            answer.comparison.measured = "oom"
            return
        needed = [r for r in rows if r.category != "runtime" and r.predicted_bytes is not None]
        if answer.outcome != "completed" or any(r.measured_bytes is None for r in needed):
            return
        answer.comparison.measured_total_bytes = total = self._measured_total()
        answer.comparison.measured = "fits" if total <= answer.comparison.budget_bytes else "oom"

    def _measured_total(self) -> int:
        """Weights, cache, the larger of the passes and the sampler beside the workspaces, and what is beyond torch."""
        measured = {row.term: row.measured_bytes or 0 for row in self.answer.rows}
        kept = sum(row.measured_bytes or 0 for row in self.answer.rows if row.category in ("weights", "kv_cache"))
        sampler = measured.get(SAMPLER, 0)
        if self.plan.layers:
            sampler += self.plan.workspace_bytes(self.plan.steps[FORWARD])
        passes = max(measured.get(FORWARD, 0), measured.get(DECODE, 0), sampler)
        return kept + passes + measured["beyond torch"]


def _share(n_bytes: int, part: int, whole: int) -> int:
    return n_bytes * part // whole if whole else 0


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    start = max(0, text.find("DefaultCPUAllocator"))
    return text[start : start + 300] or type(error).__name__
