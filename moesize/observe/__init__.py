"""Reads start-up logs of vLLM and SGLang, and holds the prediction against what they printed."""
