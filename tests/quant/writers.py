"""Quantisers' writers, in torch: they pack a real matrix as the format's layout is published, and return what is saved.

Written from the layouts' documentation, with the operations the libraries use (reshape, amax, strided slices), so that the
shapes fall out of the packing instead of a formula.
"""

import json
from math import ceil

import torch
from torch.nn import functional

Saved = dict[str, torch.Tensor]


def matrix(out_features: int, in_features: int, dtype=torch.bfloat16) -> torch.Tensor:
    return torch.zeros(out_features, in_features, dtype=dtype)


def int32_words(rows: torch.Tensor, bits: int) -> torch.Tensor:
    """Values of `bits` bits packed along the last dimension; 32 // gcd words hold whole values."""
    return rows.new_zeros(*rows.shape[:-1], rows.shape[-1] * bits // 32, dtype=torch.int32)


def gptq(w, bits, group):
    """AutoGPTQ/GPTQModel: intweight is packed by columns of the transposed matrix."""
    out_features, in_features = w.shape
    size = in_features if group == -1 else group
    groups = len(range(0, in_features, size))
    qweight = int32_words(w, bits).t().contiguous()
    scales = torch.zeros(groups, out_features, dtype=torch.float16)
    g_idx = torch.tensor([i // size for i in range(in_features)], dtype=torch.int32)
    return {".qweight": qweight, ".qzeros": int32_words(scales, bits), ".scales": scales, ".g_idx": g_idx}


def awq(w, group):
    """AutoAWQ GEMM: eight outputs to a word."""
    transposed = w.t().contiguous()
    scales = transposed.reshape(-1, group, w.shape[0]).amax(1).to(torch.float16)
    return {
        ".qweight": transposed.view(w.shape[1], -1, 8)[..., 0].to(torch.int32),
        ".qzeros": scales.view(len(scales), -1, 8)[..., 0].to(torch.int32),
        ".scales": scales,
    }


def fp8_block(w, rows, columns):
    """DeepSeek: tiles, the last ones padded."""
    padded = functional.pad(w, (0, -w.shape[1] % columns, 0, -w.shape[0] % rows))
    tiles = padded.view(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
    return {".weight": w.to(torch.float8_e4m3fn), ".weight_scale_inv": tiles.abs().float().amax((1, 3))}


def mxfp4_blocks(w):
    """gpt-oss: blocks of 32 values in 16 bytes, a scale byte for each."""
    grouped = w.view(w.shape[0], -1, 32)
    return {"_blocks": grouped[..., ::2].to(torch.uint8), "_scales": grouped.amax(-1).to(torch.uint8)}


def nvfp4_modelopt(w):
    grouped = w.view(w.shape[0], -1, 16)
    return {
        ".weight": w[:, ::2].to(torch.uint8),
        ".weight_scale": grouped.amax(-1).to(torch.float8_e4m3fn),
        ".weight_scale_2": torch.zeros((), dtype=torch.float32),
        ".input_scale": torch.zeros((), dtype=torch.float32),
    }


def bnb_4bit(w, block, *, nested):
    """bitsandbytes: the flattened matrix, two values to a byte; checked against bitsandbytes 0.50.2's own state dict."""
    flat = w.flatten()
    absmax = torch.stack([chunk.amax() for chunk in flat.split(block)]).float()
    state = {"quant_type": "nf4", "blocksize": block, "dtype": "bfloat16", "shape": list(w.shape)}
    saved = {
        ".weight": functional.pad(flat, (0, len(flat) % 2))[::2].to(torch.uint8).unsqueeze(1),
        ".weight.absmax": absmax,
        ".weight.quant_map": torch.zeros(16),
    }
    if nested:
        saved[".weight.absmax"] = absmax.to(torch.uint8)
        saved[".weight.nested_absmax"] = torch.stack([chunk.amax() for chunk in absmax.split(256)])
        saved[".weight.nested_quant_map"] = torch.zeros(256)
        # An offset as long as they get.
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.012345678901234567}
    saved[".weight.quant_state.bitsandbytes__nf4"] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    return saved


def bnb_int8(w):
    return {
        ".weight": w.to(torch.int8),
        ".SCB": w.float().abs().amax(1),
        ".weight_format": torch.tensor(0, dtype=torch.uint8),
    }


def hqq(w, bits, group, axis):
    """HQQ `Quantizer.quantize` and `BitPack`."""
    grouped = w.reshape(-1, group) if axis == 1 else w.reshape(group, -1)
    scale = grouped.amax(axis, keepdim=True)
    if bits == 3:
        padded = functional.pad(grouped, (0, 0, 0, ceil(len(grouped) / 10) * 10 - len(grouped)))
        packed = padded[: len(padded) // 10].to(torch.int32)
    else:
        step = len(grouped) // (8 // bits)
        packed = grouped[:step].to(torch.uint8)
    return {".W_q": packed, ".scale": scale, ".zero": scale.clone()}


def aqlm(w, books, bits, group):
    codes = w.view(w.shape[0], -1, group)[..., :1].expand(-1, -1, books)
    return {
        ".codes": codes.to(torch.int8 if bits <= 8 else torch.int16),
        ".codebooks": torch.zeros(books, 2**bits, 1, group, dtype=torch.float16),
        ".scales": w.amax(1).to(torch.float16).view(-1, 1, 1, 1),
    }


def exl3(w, bits):
    """exllamav3: 16 x 16 tiles of the transposed matrix, 16 * bits words of 16 bits each."""
    tiles = w.t().reshape(w.shape[1] // 16, 16, w.shape[0] // 16, 16).permute(0, 2, 1, 3).flatten(2)
    return {
        ".trellis": tiles[..., : 16 * bits].to(torch.int16),
        ".suh": w.amax(0).to(torch.float16),
        ".svh": w.amax(1).to(torch.float16),
    }
