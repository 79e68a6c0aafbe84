"""Trees of manifests for `moesize gate`: five documents a file, one in five of all documents a model server.

The servers are of changing models, GPUs, layouts and lengths. benchmarks/commands.py gates such trees.

Run: python -m benchmarks.gate FOLDER FILES.
"""

import sys
from pathlib import Path

MODELS = (
    ("mistralai/Mixtral-8x7B-Instruct-v0.1", ""),
    ("Qwen/Qwen3-30B-A3B", ""),
    ("meta-llama/Llama-3.1-70B-Instruct", ""),
    ("openai/gpt-oss-120b", ""),
    ("meta-llama/Llama-3.1-8B-Instruct", "--quantization fp8"),
    ("deepseek-ai/DeepSeek-R1", ""),
    ("google/gemma-3-27b-it", ""),
    ("some-org/unknown-model", ""),
)
GPUS = ("NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-40GB", "NVIDIA-L40S", "Tesla-T4", "NVIDIA-H200")
SERVER = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: llm-{n}
  namespace: serving
spec:
  replicas: 2
  selector: {{matchLabels: {{app: llm-{n}}}}}
  template:
    metadata: {{labels: {{app: llm-{n}}}}}
    spec:
      nodeSelector: {{nvidia.com/gpu.product: {gpu}}}
      containers:
        - name: engine
          image: vllm/vllm-openai:v0.10.2
          args: [--model={model}, --tensor-parallel-size={tp}, --max-model-len={length}, {quant}]
          resources: {{limits: {{nvidia.com/gpu: "{tp}"}}}}
"""
SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {{name: svc-{n}}}\nspec: {{ports: [{{port: 80}}]}}\n"
SETTINGS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings-{n}}}\ndata:\n" + "".join(
    f"  key{i}: some longer value that says nothing\n" for i in range(20)
)
WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: web-{n}}}
spec:
  template:
    spec:
      containers:
        - {{name: web, image: nginx:1.27, args: [--port, '8080']}}
"""
BUDGET = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: pdb-{n}}}\nspec: {{minAvailable: 1}}\n"
OTHERS = (SERVICE, SETTINGS, WEB, BUDGET)
LENGTHS = (4096, 8192, 16384, 32768)


def write_tree(folder: Path, files: int) -> None:
    """`files` manifests of five documents, the third a model server."""
    for n in range(files):
        model, quant = MODELS[n % len(MODELS)]
        gpu, length = GPUS[n % len(GPUS)], LENGTHS[n // 7 % 4]
        server = SERVER.format(n=n, model=model, quant=quant or "--seed=0", gpu=gpu, tp=2 ** (n % 4), length=length)
        rest = [other.format(n=n) for other in OTHERS]
        place = folder / f"team-{n % 50}"
        place.mkdir(exist_ok=True)
        (place / f"app-{n}.yaml").write_text("---\n".join([*rest[:2], server, *rest[2:]]))


if __name__ == "__main__":
    write_tree(Path(sys.argv[1]), int(sys.argv[2]))
