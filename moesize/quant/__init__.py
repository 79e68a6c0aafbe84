"""Formats weights and KV caches are stored in, and which of a model's tensors get which."""
