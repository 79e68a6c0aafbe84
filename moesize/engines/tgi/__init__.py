"""Hugging Face text-generation-inference."""
