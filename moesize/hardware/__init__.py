"""GPUs and the cloud instances that hold them, read from `gpu_specs/`."""
