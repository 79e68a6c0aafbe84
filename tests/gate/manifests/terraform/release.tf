resource "helm_release" "vllm" {
  name  = "vllm"
  chart = "./vllm-chart"
  values = [
    <<-EOT
    image:
      repository: vllm/vllm-openai
      tag: v0.9.0
    resources:
      limits:
        nvidia.com/gpu: "1"
    command: "vllm serve deepseek-ai/DeepSeek-R1-Distill-Llama-8B --max_model 2048"
    EOT
  ]
}

resource "kubectl_manifest" "pod" {
  yaml_body = <<YAML
apiVersion: v1
kind: Pod
metadata:
  name: ${var.name}
spec:
  containers:
    - name: engine
      image: lmsysorg/sglang:latest
      command: [python3, -m, sglang.launch_server, --model-path, "${var.model}", --tp, "2"]
      resources:
        limits:
          nvidia.com/gpu: 2
YAML
}
