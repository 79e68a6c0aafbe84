"""Bytes: how tensors and caches divide over GPUs and what each rank holds."""
