"""placeholder"""
from moesize.model.spec import ModelSpec
from moesize.quant.scheme import QuantScheme


def find_mix(text: str) -> str | None:
    return None


def mix_scheme(mix: str, spec: ModelSpec) -> QuantScheme:
    raise NotImplementedError
