"""DeepSpeed: FastGen and ZeRO-Inference."""
