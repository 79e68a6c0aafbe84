"""Launch lines: spellings, values, shells."""

import pytest

from moesize.gate.document import Position
from moesize.gate.expansion import GPU_COUNT, evaluate, expand_compose, expand_dollar, expand_kubernetes
from moesize.gate.flags import DIALECTS
from moesize.gate.launch import Container, find_launches
from moesize.gate.shell import Script, Word

WHERE = Position("f.yaml", 10)


def launches(*argv: str, image: str = "", own_entrypoint: bool = False, **variables):
    words = tuple(Word(text, WHERE, block="\n" in text) for text in argv)
    return find_launches(Container(words, WHERE, image, own_entrypoint, dict(variables)))


def one(*argv: str, **keywords):
    (launch,) = launches(*argv, **keywords)
    return launch.engine, {name: values[-1].text for name, values in launch.settings.given.items()}


@pytest.mark.parametrize(
    ("argv", "engine", "expected"),
    [
        ("vllm serve org/m -tp 2", "vllm", {"model": "org/m", "tensor_parallel": "2"}),
        ("vllm serve --trust-remote-code org/m -tp=2", "vllm", {"model": "org/m", "tensor_parallel": "2"}),
        (
            "vllm serve --enable-prefix-caching org/m --max_model 2k",
            "vllm",
            {"model": "org/m", "max_model_len": "2k", "prefix_caching": "true"},
        ),
        ("vllm serve org/m --max-n 4", "vllm", {"model": "org/m"}),  # ambiguous: argparse refuses it
        ("vllm serve org/m --max-num-seq 4", "vllm", {"model": "org/m", "max_num_seqs": "4"}),
        ("vllm serve org/m --load-format dummy -q awq", "vllm", {"model": "org/m", "quantization": "awq"}),
        ("vllm serve org/m --enforce-eager False", "vllm", {"model": "org/m", "enforce_eager": "False"}),
        ("vllm serve org/m --no-enforce-eager", "vllm", {"model": "org/m", "enforce_eager": "false"}),
        ("vllm serve org/m --max-model-len -1", "vllm", {"model": "org/m", "max_model_len": "-1"}),
        ("vllm serve org/m --dtype --enforce-eager", "vllm", {"model": "org/m", "enforce_eager": "true"}),
        ("python3 -m vllm.entrypoints.openai.api_server --model org/m", "vllm", {"model": "org/m"}),
        ("uv run --with vllm vllm serve org/m", "vllm", {"model": "org/m"}),
        ("env A=1 numactl -m 0 vllm serve org/m", "vllm", {"model": "org/m"}),
        ("python -m dynamo.vllm --model org/m --is-prefill-worker", "vllm", {"model": "org/m"}),
        (
            "python -m sglang.launch_server --model-path org/m --tp 4",
            "sglang",
            {"model": "org/m", "tensor_parallel": "4"},
        ),
        ("sglang serve --model-path org/m --context-len 100", "sglang", {"model": "org/m", "max_model_len": "100"}),
        ("text-generation-launcher --model-id org/m --num-shard=2", "tgi", {"model": "org/m", "tensor_parallel": "2"}),
        (
            "/app/llama-server -m x.gguf -c 4096 --jinja -ngl 99",
            "llama.cpp",
            {"model": "x.gguf", "max_model_len": "4096", "gpu_layers": "99"},
        ),
        (
            "trtllm-serve org/m --tp_size 8 --max_seq_len 9",
            "tensorrt-llm",
            {"model": "org/m", "tensor_parallel": "8", "max_model_len": "9"},
        ),
        ("trtllm-serve serve org/m --backend pytorch", "tensorrt-llm", {"model": "org/m"}),
        ("mpirun -n 8 trtllm-llmapi-launch trtllm-serve org/m", "tensorrt-llm", {"model": "org/m"}),
        ("ollama run qwen2.5:7b", "ollama", {"model": "qwen2.5:7b"}),
        ("vllm serve --served-model-name a b --model org/m", "vllm", {"model": "org/m", "served_model_name": "a"}),
        ("docker run --gpus all vllm/vllm-openai:v0.9.0 --model org/m", "vllm", {"model": "org/m"}),
    ],
)
def test_lines(argv, engine, expected):
    assert one(*argv.split()) == (engine, expected)
    assert one("bash", "-c", argv) == (engine, expected)
    continued = argv.replace(" -", " \\\n -")
    assert one("/bin/sh", "-exc", f"set -x\n{continued} > log 2>&1 &\nwait") == (engine, expected)


@pytest.mark.parametrize(
    "argv",
    [
        "vllm bench serve --model org/m",
        "echo vllm serve org/m",
        "pip install vllm",
        "sleep infinity",
        "vllm --version",
        "python -m vllm.utils",
    ],
)
def test_lines_that_serve_nothing(argv):
    assert launches(*argv.split()) == []
    assert launches("sh", "-c", argv) == []


def test_the_image_starts_the_engine_only_without_a_command():
    assert one("--model", "org/m", image="vllm/vllm-openai:v0.9.0", own_entrypoint=True)[0] == "vllm"
    assert one("org/m", "--dtype", "half", image="vllm/vllm-openai:v0.9.0", own_entrypoint=True)[1]["model"] == "org/m"
    assert launches("sleep", "1", image="vllm/vllm-openai:v0.9.0") == []


def test_positional_arguments_of_a_script():
    _, settings = one("bash", "-c", 'exec vllm serve "$@"', "--", "org/m", "-tp", "2")
    assert settings == {"model": "org/m", "tensor_parallel": "2"}


def test_a_variable_a_branch_sets_is_unknown():
    script = "TP=1\nif [ x = y ]; then TP=2; fi\nvllm serve org/m -tp $TP"
    assert one("sh", "-c", script)[1]["tensor_parallel"] == "$TP"


def test_the_first_branch_counts_and_the_same_model_only_once():
    script = "if a; then vllm serve org/m -tp 1; else vllm serve org/other -tp 2; fi; vllm serve org/m -tp 4"
    assert [launch.settings.text("tensor_parallel") for launch in launches("sh", "-c", script)] == ["1"]


def test_two_servers_in_one_script():
    script = "vllm serve org/a --port 1 &\nvllm serve org/b --port 2 &\nwait"
    found = launches("sh", "-c", script)
    assert [(launch.settings.text("model"), launch.where.line) for launch in found] == [("org/a", 11), ("org/b", 12)]


def test_arrays_quotes_and_heredocs():
    script = (
        "ARGS=(--model org/m\n  --max-model-len '4096')\nARGS+=(-tp \"2\")\ncat <<EOF > f\nvllm serve not/this\nEOF\n"
        'python -m vllm.entrypoints.openai.api_server "${ARGS[@]}" --served-model-name "a b"'
    )
    assert one("sh", "-c", script)[1] == {
        "model": "org/m",
        "max_model_len": "4096",
        "tensor_parallel": "2",
        "served_model_name": "a b",
    }


def test_lines_of_words():
    reader = Script("a \\\n  b 'c\nd' e\nf", Position("f", 10), line_by_line=True, variables={})
    assert [(w.text, w.where.line) for command in reader.commands() for w in command.words] == [
        ("a", 11),
        ("b", 12),
        ("c\nd", 12),
        ("e", 13),
        ("f", 14),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "1"),
        ("${A:-2}", "1"),
        ("${E:-2}", "2"),
        ("${E-2}", ""),
        ("${N:-${A}}", "1"),
        ("${N:-${M:-3}}", "3"),
        ("${A:+x}", "x"),
        ("${N:+x}", ""),
        ("${N}", "${N}"),
        ("${SECRET:-2}", "${SECRET:-2}"),
        ("${A%%x}", "${A%%x}"),
        ("$((A * 2 + (6 - 4) / 2))", "3"),
        ("$((SECRET * 2))", "$((SECRET * 2))"),
        ("$((1/0))", "$((1/0))"),
        ("$(A)", "1"),
        ("$(date)", "$(date)"),
        ("$(nvidia-smi -L | wc -l)", "8"),
        ("$(nvidia-smi --query-gpu=name --format=csv,noheader | wc -l)", "8"),
        ("$(nvidia-smi)", "$(nvidia-smi)"),
    ],
)
def test_expansions(text, expected):
    assert expand_dollar(text, 0, {"A": "1", "E": "", "SECRET": None, GPU_COUNT: "8"}) == (expected, len(text))


def test_kubernetes_and_compose_dollars():
    assert expand_kubernetes("$(A)/$(B)/$$(A)/$A", {"A": "1"}) == "1/$(B)/$(A)/$A"
    assert expand_compose('$A ${B:-2} $$A {"t":${C:-0.6}}', {"A": "1"}) == '1 2 $A {"t":0.6}'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2*3", 6),
        ("-1 + 2", 1),
        ("7 % 4", 3),
        ("2**9", None),
        ("x", None),
        ("9" * 13, None),
        ("(1", None),
        ("1 2", None),
    ],
)
def test_arithmetic(text, value):
    assert evaluate(text, {}) == value


def test_a_flag_is_either_read_or_another() -> None:
    for engine, dialect in DIALECTS.items():
        assert not dialect.others & set(dialect.flags), engine
