"""A tree of manifests, most of which serve no model, is read in time proportional to its size."""

import time

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


def test_five_hundred_documents(tmp_path):
    for n in range(100):
        (tmp_path / f"{n}.yaml").write_text("---\n".join([OTHER % n] * 2 + [SERVER % n] + [OTHER % n] * 2))
    read_deployments([tmp_path / "0.yaml"], root=tmp_path)
    started = time.process_time()
    result = read_deployments([tmp_path], root=tmp_path)
    # 5,000 documents are to take less than 5 s
    assert time.process_time() - started < 0.5
    assert (len(result.deployments), result.documents_read) == (100, 500)
