"""A tree of manifests, most of which serve no model: what cannot concern one is not parsed."""

from pathlib import Path

import pytest

from moesize.gate import read
from moesize.gate.document import Chunk, Document
from moesize.gate.read import read_deployments

SERVER = """apiVersion: apps/v1
kind: Deployment
metadata: {name: llm-%d}
spec:
  template:
    spec:
      nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.10.2
          command: ["/bin/bash", "-c"]
          args:
            - |
              exec vllm serve mistralai/Mixtral-8x7B-Instruct-v0.1 \\
                --tensor-parallel-size 2 --max-model-len ${MAX_LEN:-8192}
          resources: {limits: {nvidia.com/gpu: "2"}}
"""
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings-%d}\ndata:\n" + "".join(
    f"  key{n}: some longer value that says nothing\n" for n in range(30)
)


def test_only_what_may_serve_a_model_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    real = read.parse

    def parse(chunk: Chunk) -> list[Document]:
        parsed.append(chunk.text)
        return real(chunk)

    monkeypatch.setattr(read, "parse", parse)
    for n in range(20):
        (tmp_path / f"{n}.yaml").write_text("---\n".join([OTHER % n] * 2 + [SERVER % n] + [OTHER % n] * 2))
    result = read_deployments([tmp_path], root=tmp_path)
    assert (len(result.deployments), result.documents_read) == (20, 100)
    assert len(parsed) == 20
    assert all("vllm serve" in text for text in parsed)
