"""Whatever stands in a launch line or a document, the gate answers: no traceback, no hang, a status of 0, 1 or an error."""

import json
import time
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesize.errors import MoesizeError
from moesize.gate.estimator import Estimator
from moesize.gate.run import Run
from moesize.report.gate import FORMATS, renderer

ESTIMATOR = Estimator()
MODELS = (
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "deepseek-ai/DeepSeek-R1",
    "openai/gpt-oss-20b",
    "Qwen/Qwen3-8B-AWQ",
    "meta-llama/Llama-3.1-8B-Instruct",
    "/models/x.Q4_K_M.gguf",
    "state-spaces/mamba-2.8b",
    "",
)
GPUS = (
    "NVIDIA-H100-80GB-HBM3",
    "a100",
    "Tesla-T4",
    "mi300x",
    "nonsense",
    "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
    "B200-SHARED",
)
LAUNCHES = (
    "vllm serve {}",
    "python3 -m sglang.launch_server --model-path {}",
    "text-generation-launcher --model-id {}",
    "llama-server -m {}",
    "trtllm-serve {}",
)
NUMBERS = st.one_of(
    st.integers(-3, 2**20).map(str),
    st.sampled_from(["auto", "32k", "1e9", "0", "0.5", "NaN", "-1", "$(X)", "９", "1" * 40]),
)
FLAGS = st.tuples(
    st.sampled_from(
        (
            *(
                "--tensor-parallel-size",
                "--pipeline-parallel-size",
                "--data-parallel-size",
                "--max-model-len",
                "--tp-size",
            ),
            *(
                "--max-num-seqs",
                "--max-num-batched-tokens",
                "--gpu-memory-utilization",
                "--cpu-offload-gb",
                "--dp-size",
            ),
            *(
                "--kv-cache-memory-bytes",
                "--num-shard",
                "--context-length",
                "-c",
                "-np",
                "-ngl",
                "--n-cpu-moe",
                "--nnodes",
            ),
        )
    ),
    NUMBERS,
)
WORDS = st.tuples(
    st.sampled_from(("--quantization", "--kv-cache-dtype", "--dtype", "-ctk", "--quantize")),
    st.sampled_from(
        ("fp8", "awq", "gptq", "bitsandbytes", "mxfp4", "nvfp4", "half", "q8_0", "fp8_e5m2", "int3", "auto", "x")
    ),
)
SWITCHES = st.tuples(
    st.sampled_from(("--enable-expert-parallel", "--enable-dp-attention", "--enforce-eager", "--cpu-moe"))
)
LINES = st.tuples(
    st.sampled_from(LAUNCHES), st.sampled_from(MODELS), st.lists(st.one_of(FLAGS, WORDS, SWITCHES), max_size=6)
)


def pod(line: tuple, gpu: str, count: str) -> str:
    launch, model, flags = line
    text = launch.format(model) + "".join(f" {word}" for flag in flags for word in flag)
    container = {
        "name": "engine",
        "image": "vllm/vllm-openai:v0.11.0",
        "command": ["sh", "-c", text],
        "resources": {"limits": {"nvidia.com/gpu": count}},
    }
    spec = {"nodeSelector": {"nvidia.com/gpu.product": gpu}, "containers": [container]}
    return json.dumps({"kind": "Deployment", "metadata": {"name": "x"}, "spec": {"template": {"spec": spec}}})


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LINES, st.sampled_from(GPUS), NUMBERS)
def test_any_launch_line_is_answered(tmp_path: Path, line: tuple, gpu: str, count: str) -> None:
    (tmp_path / "a.json").write_text(pod(line, gpu, count))
    started = time.monotonic()
    result = Run(tmp_path, estimator=ESTIMATOR, allow_empty=True).gate([tmp_path])
    assert time.monotonic() - started < 5
    assert result.exit_status in (0, 1)
    assert (result.exit_status == 1) is any(one.fails for one in result.findings)
    for one, findings in zip(result.deployments, result.by_deployment(), strict=True):
        if one.verdict in ("oom", "refused", "undecided", "tight"):
            assert findings, f"{one.verdict} without a finding"
    for name in FORMATS:
        assert renderer(name)(result)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from(
            ("model", "gpu", "gpus", "quant", "context", "concurrency", "engine", "tp", "pp", "dp", "ep", "nodes")
        ),
        st.one_of(
            st.sampled_from((*MODELS, *GPUS, "H100:8", "vllm", "sglang", "fp8", "tgi", "ollama")),
            NUMBERS,
            st.booleans(),
        ),
    )
)
def test_any_plain_form_is_answered(tmp_path: Path, form: dict) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"model": MODELS[0], "gpu": "H100", **form}))
    try:
        result = Run(tmp_path, estimator=ESTIMATOR, allow_empty=True).gate([tmp_path])
    except MoesizeError:
        return
    for name in FORMATS:
        assert renderer(name)(result)
