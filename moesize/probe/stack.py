"""One real forward pass of a stack of layers with a rank's shapes and random weights, and the sampler after it.

Intermediates live as long as they do in an engine: projections until the products that read them, the workspaces of the
experts throughout. Attention with keys and values of its own is computed; MLA's products over the latent and
recurrences are left out, as vLLM's own profile run leaves all of them out: their kernels keep little beside their
results. All experts of a layer share one expert's weights: activations do not depend on their values. Source: vllm
`v1/worker/gpu_model_runner.py` (profile_run), `layers/fused_moe/fused_moe.py`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from moesize.probe.device import Device, chunks
from moesize.probe.shapes import Block, Heads, LayerShapes, Matrix, Moe

#: Element-wise steps run in this many pieces: an engine's fused kernels keep no float32 copy of a whole activation.
_PIECES = 64


@dataclass(frozen=True, slots=True)
class _Weights:
    """Weights of one layer in the compute dtype, one tensor per matrix."""

    mixers: tuple[tuple[tuple[Tensor, ...], Tensor | None], ...]
    mlps: tuple[tuple[tuple[Tensor, ...], Tensor | None], ...]
    router: Tensor | None
    gate_up: Tensor | None
    down: Tensor | None


class Stack:
    """Layers with random weights; equal layers share them."""

    def __init__(self, device: Device, layers: tuple[LayerShapes, ...], hidden: int, dtype: str, mla_rows: int) -> None:
        self.device, self.layers, self.hidden, self.dtype, self.mla_rows = device, layers, hidden, dtype, mla_rows
        made = {layer: _weights(device, layer, dtype) for layer in dict.fromkeys(layers)}
        self._weights = [made[layer] for layer in layers]

    @torch.inference_mode()
    def forward(self, tokens: int, sequences: int, mla_tokens: int) -> None:
        """`tokens` of `sequences` equal prompts through every layer; MLA projects `mla_tokens` rows up beside them."""
        length = max(1, tokens // sequences)
        hidden = self.device.random((tokens, self.hidden), self.dtype)
        residual = self.device.random((tokens, self.hidden), self.dtype)
        spaces = self._workspaces(tokens)
        for shapes, weights in zip(self.layers, self._weights, strict=True):
            for block, (into, out) in zip(shapes.mixers, weights.mixers, strict=True):
                _norm(hidden, residual)
                prefill = self._mla_prefill(mla_tokens)
                hidden = _mix(hidden, block, into, out, length)
                del prefill
            _norm(hidden, residual)
            hidden = self._feed_forward(hidden, shapes, weights, spaces)

    @torch.inference_mode()
    def sample(self, rows: int, vocab: int) -> None:
        """Logits of `rows` sequences in the model's dtype, a float32 copy, a masked copy and probabilities."""
        logits = self.device.random((rows, vocab), self.dtype)
        wide = logits.float()
        keep = torch.zeros((1, vocab), dtype=torch.bool, device=logits.device)
        masked = wide.masked_fill(keep, float("-inf"))
        probabilities = torch.softmax(masked, dim=-1)
        probabilities.argmax(dim=-1)

    def _workspaces(self, tokens: int) -> tuple[Tensor, Tensor] | None:
        """The two buffers of the experts' kernels, of the widest layer, allocated once."""
        moes = [layer.moe for layer in self.layers if layer.moe]
        if not moes:
            return None
        first = max(tokens * max(m.per_token * max(m.inner, m.hidden), m.hidden) for m in moes)
        second = max(tokens * m.per_token * max(m.rows_in, m.hidden) for m in moes)
        return self.device.empty((first,), self.dtype), self.device.empty((second,), self.dtype)

    def _mla_prefill(self, mla_tokens: int) -> Tensor | None:
        return self.device.empty((mla_tokens, self.mla_rows), self.dtype) if self.mla_rows else None

    def _feed_forward(
        self, hidden: Tensor, shapes: LayerShapes, weights: _Weights, spaces: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Shared experts or a dense MLP, then the routed experts added to them."""
        out: Tensor | None = None
        for block, (into, back) in zip(shapes.mlps, weights.mlps, strict=True):
            made = _mlp(hidden, block, into, back)
            out = made if out is None else out.add_(made)
            del made
        if shapes.moe is None or spaces is None:
            return hidden if out is None else out
        out = torch.zeros_like(hidden) if out is None else out
        _experts(hidden, out, shapes.moe, weights, spaces)
        return out


def _weights(device: Device, layer: LayerShapes, dtype: str) -> _Weights:
    def block(shape: Block) -> tuple[tuple[Tensor, ...], Tensor | None]:
        return tuple(matrix(m) for m in shape.into), matrix(shape.out) if shape.out else None

    def matrix(shape: Matrix) -> Tensor:
        made: Tensor = device.random((shape.rows, shape.columns), dtype)
        return made

    mixers, mlps = tuple(map(block, layer.mixers)), tuple(map(block, layer.mlps))
    if (moe := layer.moe) is None:
        return _Weights(mixers, mlps, None, None, None)
    return _Weights(
        mixers,
        mlps,
        matrix(Matrix(moe.routed, moe.hidden)),
        matrix(Matrix(moe.rows_in, moe.hidden)),
        matrix(Matrix(moe.hidden, moe.inner)),
    )


def _norm(hidden: Tensor, residual: Tensor) -> None:
    """RMS norm fused with the residual: both in place, in pieces."""
    for start, stop in chunks(len(hidden), max(1, len(hidden) // _PIECES)):
        residual[start:stop].add_(hidden[start:stop])
        wide = residual[start:stop].float()
        scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True) / wide.shape[-1] ** 0.5
        hidden[start:stop].copy_(wide.div_(scale.add_(1e-6)))


def _mix(hidden: Tensor, block: Block, into: tuple[Tensor, ...], back: Tensor | None, length: int) -> Tensor:
    """Projections, their product, and the projection back; what is not read any more is freed first."""
    made: list[Tensor] = []
    for shape, weight in zip(block.into, into, strict=True):
        made.append(_project(hidden, made, shape, weight))
    tokens, width = len(hidden), hidden.shape[1]
    if block.out is None or back is None:
        return hidden
    product = hidden.new_zeros((tokens, block.out.columns))
    if block.heads is not None:
        _attend(made, block.heads, product, length)
    del made
    out = product.mm(back.t())
    return out if out.shape[1] == width else functional.pad(out, (0, width - out.shape[1]))


def _attend(made: list[Tensor], heads: Heads, product: Tensor, length: int) -> None:
    """Causal attention of every whole sequence of `length` tokens, some sequences at a time."""
    parts = _queries_keys_values(made, heads)
    sequences = len(product) // length
    for start, stop in chunks(sequences, max(1, sequences // _PIECES)) if parts else ():
        shape = (stop - start, length, -1, heads.dim)
        q, k, v = (t[start * length : stop * length].reshape(shape).transpose(1, 2) for t in parts or ())
        k, v = (t.repeat_interleave(heads.queries // heads.kv, dim=1) for t in (k, v))
        result = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        product[start * length : stop * length].copy_(result.transpose(1, 2).flatten(2).flatten(0, 1))


def _queries_keys_values(made: list[Tensor], heads: Heads) -> tuple[Tensor, Tensor, Tensor] | None:
    """The three operands: columns of one fused projection, or of several; None where the widths do not say which."""
    q_width, kv_width = heads.queries * heads.dim, heads.kv * heads.dim
    fused = next((t for t in made if t.shape[1] >= q_width + 2 * kv_width), None)
    if fused is not None:
        ends = (q_width, q_width + kv_width, q_width + 2 * kv_width)
        return fused[:, : ends[0]], fused[:, ends[0] : ends[1]], fused[:, ends[1] : ends[2]]
    wide = [t for t in made if t.shape[1] >= kv_width]
    if not wide or wide[0].shape[1] < q_width:
        return None
    keys, values = (wide[1], wide[-1]) if len(wide) > 1 else (wide[0], wide[0])  # layers that read another's cache
    return wide[0][:, :q_width], keys[:, :kv_width], values[:, :kv_width]


def _project(hidden: Tensor, made: list[Tensor], shape: Matrix, weight: Tensor) -> Tensor:
    """A projection of the hidden state, or of the newest output wide enough (MLA's up-projections)."""
    wide_enough = (t for t in (hidden, *reversed(made)) if t.shape[1] >= shape.columns)
    exact = (t for t in (hidden, *made) if t.shape[1] == shape.columns)
    source = next(exact, None)
    source = next(wide_enough, None) if source is None else source
    if source is None:
        return hidden.new_zeros((len(hidden), shape.rows))
    return source[:, : shape.columns].mm(weight.t())


def _mlp(hidden: Tensor, block: Block, into: tuple[Tensor, ...], back: Tensor | None) -> Tensor:
    """Gate and up, the activation, and the projection down."""
    made = [_project(hidden, [], shape, weight) for shape, weight in zip(block.into, into, strict=True)]
    if block.out is None or back is None:
        return torch.zeros_like(hidden)
    wide = [t for t in made if t.shape[1] >= block.out.columns]
    product = hidden.new_empty((len(hidden), block.out.columns))
    gate, up = _halves(wide, block.out.columns)
    _activate(gate, up, product)
    del made, wide, gate, up
    return product.mm(back.t())


def _halves(wide: list[Tensor], inner: int) -> tuple[Tensor, Tensor | None]:
    """Gate and up of two matrices, of one that holds both, or of one that has no gate."""
    if len(wide) > 1:
        return wide[0][:, :inner], wide[1][:, :inner]
    both = wide[0]
    return both[:, :inner], both[:, inner : 2 * inner] if both.shape[1] >= 2 * inner else None


def _activate(gate: Tensor, up: Tensor | None, out: Tensor) -> None:
    for start, stop in chunks(len(out), max(1, len(out) // _PIECES)):
        active = functional.silu(gate[start:stop])
        out[start:stop].copy_(active if up is None else active.mul_(up[start:stop]))


def _experts(hidden: Tensor, out: Tensor, moe: Moe, weights: _Weights, spaces: tuple[Tensor, Tensor]) -> None:
    """Route, then gate and up, activation, down and weighted sum of the rank's experts, in the two workspaces."""
    router, gate_up, down = weights.router, weights.gate_up, weights.down
    if router is None or gate_up is None or down is None:
        return
    scores, chosen = hidden.mm(router.t()).float().softmax(-1).topk(moe.per_token, dim=-1)
    flat = chosen.flatten()
    order = torch.argsort(flat)
    counts = torch.bincount(flat, minlength=moe.routed)[: max(1, moe.local)].tolist()
    first, second = spaces
    tokens = order.div_(moe.per_token, rounding_mode="floor")
    done = 0
    for count in counts:
        if not count:
            continue
        mine = tokens[done : done + count]
        wide = second[: count * moe.rows_in].view(count, moe.rows_in)
        product = first[: count * moe.inner].view(count, moe.inner)
        torch.mm(hidden[mine], gate_up.t(), out=wide)
        _activate(*_halves([wide], moe.inner), product)
        result = second[: count * moe.hidden].view(count, moe.hidden)
        torch.mm(product, down.t(), out=result)
        out.index_add_(0, mine, result.mul_(scores.flatten()[:1].to(result.dtype)))
        done += count
