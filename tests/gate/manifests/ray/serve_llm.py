"""Read, never run: the import does not exist."""

from ray.serve.llm import LLMConfig, build_openai_app

GPUS = undefined_name  # noqa: F821

config = LLMConfig(
    model_loading_config=dict(model_id="mine", model_source="openai/gpt-oss-120b"),  # noqa: C408
    accelerator_type="L40S",
    engine_kwargs={"max_model_len": 32768, "tensor_parallel_size": 2, "max_num_seqs": GPUS},
)
app = build_openai_app({"llm_configs": [config]})
