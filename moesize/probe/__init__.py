"""Measures real allocation and holds the prediction against it. `cpu`, `cuda` and `stack` alone import torch."""
