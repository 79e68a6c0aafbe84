"""Reads `quantization_config` of method fp8, fbgemm_fp8, mxfp4 and mxfp8.

An fp8 configuration without a list of modules is DeepSeek's: every linear layer but head, router and the drafts'
projection of embeddings (https://huggingface.co/deepseek-ai/DeepSeek-V3/blob/main/README_WEIGHTS.md); in V4 the
compressors of its sparse attention stay too. Which matrices have scales follows from the element counts the Hub states.
"""

from moesize.errors import InputError
from moesize.model.fields import Fields
from moesize.model.spec import Kind, ModelSpec, Role, Tensor
from moesize.quant.checkpoint import is_linear_module, scheme_of
from moesize.quant.floats import Fp8Block, Fp8Channel, Fp8Tensor, MxFp4, MxFp8
from moesize.quant.formats import WeightFormat
from moesize.quant.matching import ModuleSet, assign
from moesize.quant.scheme import Part, QuantScheme, Rule, is_quantisable

#: Rows below which a projection of a sparse-attention indexer is one weight per head, kept in 16 bit or float32
#: (`weights_proj` in https://huggingface.co/deepseek-ai/DeepSeek-V3.2-Exp/blob/main/inference/model.py).
_INDEXER_ROWS = 128


def read(method: str, config: Fields, spec: ModelSpec) -> QuantScheme:
    """The scheme of such a configuration."""
    if method == "mxfp4":
        return scheme_of("mxfp4", method, spec, _experts_in_blocks, MxFp4(blocks=True))
    fmt, name = _format(method, config, spec)
    experts: WeightFormat = fmt
    if config.text("expert_dtype", default="") == "fp4":  # DeepSeek-V4
        experts, name = MxFp4(weight_name=".weight", scale_name=".scale"), f"mixed-{name}+mxfp4"
    left = ModuleSet(config.texts("modules_to_not_convert", "ignored_layers", default=()))
    if config.has("quantized_layers"):
        from moesize.quant import reads_modelopt  # noqa: PLC0415  a checkpoint of ModelOpt's on top of one of these

        return reads_modelopt.read_on_top(config, spec, name, method, _rule(fmt, experts, left))
    return scheme_of(name, method, spec, _rule(fmt, experts, left), fmt)


def _rule(fmt: WeightFormat, experts: WeightFormat, left: ModuleSet) -> Rule:
    takes = _takes_listed if left else _takes_by_convention

    def rule(tensor: Tensor) -> tuple[Part, ...]:
        if not takes(tensor):
            return ((tensor, None),)
        own = experts if tensor.role is Role.ROUTED_EXPERT else fmt
        if not left:
            return ((tensor, own),)
        return assign(tensor, lambda module: None if module in left else own, layers_differ=left.tells_layers_apart)

    return rule


def _format(method: str, config: Fields, spec: ModelSpec) -> tuple[WeightFormat, str]:
    if method == "mxfp8":
        return MxFp8(), "mxfp8"
    if method == "fbgemm_fp8":
        return Fp8Channel(), "fp8-channel"
    if config.has("weight_block_size"):
        block = config.counts("weight_block_size", minimum=1)
        if len(block) != 2:
            raise InputError(f"{config.where}: weight_block_size is {list(block)}, expected rows and columns")
        return _block_format((block[0], block[1]), spec), "fp8-block"
    if config.has("fmt"):  # DeepSeek's writer, whose blocks are always of this size
        return _block_format((128, 128), spec), "fp8-block"
    return Fp8Tensor(static_inputs=config.text("activation_scheme", default="dynamic") == "static"), "fp8"


def _block_format(block: tuple[int, int], spec: ModelSpec) -> Fp8Block:
    """DeepSeek-V4 stores its power-of-two scales in a byte; V3.1, which has them too, in float32."""
    return Fp8Block(block, "uint8", ".scale") if spec.architecture == "deepseek_v4" else Fp8Block(block)


def _takes_by_convention(tensor: Tensor) -> bool:
    if tensor.kind is not Kind.LINEAR or tensor.dtype or tensor.tied_to or ".compressor." in tensor.name:
        return False
    if tensor.role is Role.INDEXER:
        return tensor.out_features >= _INDEXER_ROWS
    # V4's draft layer projects embedding and state apart, in FP8; V3's joint `eh_proj` stays.
    return is_quantisable(tensor) or tensor.name.endswith((".e_proj.weight", ".h_proj.weight"))


def _takes_listed(tensor: Tensor) -> bool:
    return is_linear_module(tensor) and (tensor.role is not Role.INDEXER or tensor.out_features >= _INDEXER_ROWS)


def _experts_in_blocks(tensor: Tensor) -> tuple[Part, ...]:
    takes = is_quantisable(tensor) and tensor.role is Role.ROUTED_EXPERT
    return ((tensor, MxFp4(blocks=tensor.stacked, weight_name=".weight") if takes else None),)
