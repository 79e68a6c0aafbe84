"""Names of the formats of small floats."""

from moesize.quant.floats import Fp8Block, Fp8Channel, Fp8Tensor, MxFp4, MxFp8, NvFp4
from moesize.quant.name_rules import Made, always, by_alias, parse_with

_MXFP4 = MxFp4(weight_name=".weight")
_FIXED = by_alias(
    (
        ("fp8 float8 f8 fp8-e4m3 e4m3 w8a8-fp8 fp8-w8a8 fp8-tensor fp8-per-tensor", always("fp8", "fp8", Fp8Tensor())),
        ("fp8-static modelopt-fp8", always("fp8-static", "modelopt", Fp8Tensor(static_inputs=True, scale_shape=()))),
        (
            "fp8-channel fp8-dynamic fp8-per-channel ptpc-fp8 fbgemm-fp8",
            lambda dtype: ("fp8-channel", "compressed-tensors", Fp8Channel(dtype)),
        ),
        ("fp8-block fp8-128x128 block-fp8 fp8-blockwise deepseek-fp8", always("fp8-block", "fp8", Fp8Block())),
        ("mxfp8", always("mxfp8", "compressed-tensors", MxFp8())),
        ("mxfp6", always("mxfp6", "compressed-tensors", MxFp4(weight_bits=6))),
        ("mxfp4 mx-fp4", always("mxfp4", "mxfp4", _MXFP4)),
        ("quark-mxfp4 quark", always("quark-mxfp4", "quark", _MXFP4)),
        ("nvfp4 nv-fp4 modelopt-nvfp4 modelopt-fp4 fp4", always("nvfp4", "modelopt", NvFp4(modelopt=True))),
        (
            "nvfp4a16 w4a16-nvfp4 nvfp4-a16",
            always("nvfp4a16", "compressed-tensors", NvFp4(static_inputs=False)),
        ),
    )
)


def parse(text: str, dtype: str) -> Made | None:
    """What a name stands for."""
    return parse_with(text, dtype, _FIXED, ())
