"""Models the catalogue has not: locked once from a local server that speaks the Hub's endpoints, then gated without one."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moesize.gate.locked import LOCK_FOLDER
from moesize.gate.run import Run

_spec = importlib.util.spec_from_file_location(
    "moesize_tests_hub_server", Path(__file__).parents[1] / "model" / "hub_server.py"
)
hub_server = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hub_server)

CONFIG = {
    "model_type": "mixtral", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "num_local_experts": 4, "num_experts_per_tok": 2, "vocab_size": 128, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "torch_dtype": "bfloat16", "architectures": ["MixtralForCausalLM"],
}  # fmt: skip
FORM = "model: {}\ngpu: H200\ncontext: 256\n"


def moesize(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))} | {
        "HF_ENDPOINT": url, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "*", "HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1",
    }  # fmt: skip
    command = [sys.executable, "-m", "moesize", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_a_locked_model_is_gated_without_a_network(tmp_path: Path) -> None:
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    (deploy / "a.yaml").write_text(FORM.format("Our-Org/Model-7"))
    (deploy / "b.yaml").write_text(FORM.format("mistralai/Mixtral-8x7B-Instruct-v0.1"))
    with hub_server.serving() as hub:
        hub.files["Our-Org/Model-7"] = {"config.json": json.dumps(CONFIG).encode()}
        assert moesize(tmp_path, hub.url, "gate", "deploy", "--fail-on", "undecided").returncode == 1
        assert hub.requests == []
        online = moesize(tmp_path, hub.url, "gate", "deploy/a.yaml", "--online")
        assert "FITS" in online.stdout, online.stderr
        locked = moesize(tmp_path, hub.url, "lock", "deploy")
        assert locked.returncode == 0, locked.stderr
        assert "mistralai/Mixtral-8x7B-Instruct-v0.1: in the catalogue" in locked.stdout
        asked = len(hub.requests)
        assert moesize(tmp_path, hub.url, "lock", "deploy").returncode == 0
        assert len(hub.requests) == asked
    found = Run(tmp_path).gate([deploy])
    assert [(one.model, one.verdict) for one in found.deployments] == [("model-7", "fits"), ("mixtral-8x7b", "fits")]


def test_what_the_hub_has_not_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(FORM.format("Our-Org/Absent"))
    with hub_server.serving() as hub:
        done = moesize(tmp_path, hub.url, "lock", "a.yaml")
    assert done.returncode == 2
    assert done.stdout.startswith("Our-Org/Absent: ")
    assert not (tmp_path / LOCK_FOLDER).exists() or not list((tmp_path / LOCK_FOLDER).rglob("*.yaml"))
    (tmp_path / "a.yaml").write_text("a: 1\n")
    assert moesize(tmp_path, "http://127.0.0.1:9", "lock", "a.yaml").returncode == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name: x",
        "a: &a [*a]",
        "[" * 5000,
        "a: b: c",
        "\0",
        "name: model\nconfig: {model_type: nothing}\n",
        "- 1\n" * 600_000,
    ],
    ids=["empty", "partial", "cycle", "deep", "not YAML", "binary", "unknown kind", "large"],
)
def test_a_broken_lock_leaves_the_deployment_undecided(tmp_path: Path, text: str) -> None:
    folder = tmp_path / LOCK_FOLDER / "our-org"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(text)
    (tmp_path / "a.yaml").write_text(FORM.format("Our-Org/Model"))
    found = Run(tmp_path).gate([tmp_path / "a.yaml"])
    assert [one.verdict for one in found.deployments] == ["undecided"]
    assert "model.yaml" in found.findings[0].message
