"""The tools benchmarks/peers.py asks, the questions, and how each tool's answer is read."""

import json
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

from benchmarks.measure import ENVIRONMENT, Command, Run

GIB = 2**30
CONTEXT = 8192
ROOT = Path(__file__).parents[1]


class Question(NamedTuple):
    """One sequence of `CONTEXT` tokens of a model on some GPUs, and what is known of the answer.

    `weights_gib` and `kv_gib` are per GPU: what vLLM's own classes hold (validation/data/vllm_weights.csv and
    vllm_kv_plans.csv) or what its log printed (validation/data/vllm_h100_019.yaml, vllm_logs.yaml).
    """

    title: str
    model: str
    repository: str
    hub_id: str
    gpu: str
    nominal_gb: int
    weights_gib: float
    kv_gib: float
    fits: bool
    gpus: int = 1
    quant: str | None = None


MIXTRAL = ("mixtral-8x7b", "stand-in/Mixtral-8x7B-v0.1", "mistralai/Mixtral-8x7B-Instruct-v0.1")
A100 = {"gpu": "A100-80GB", "nominal_gb": 80}
QUESTIONS = (
    Question(
        "Mixtral 8x7B, bf16, 1× A100-80GB", *MIXTRAL, **A100, weights_gib=93413974624 / GIB, kv_gib=1.0, fits=False
    ),
    Question(
        "Mixtral 8x7B, bf16, 2× A100-80GB", *MIXTRAL, **A100, gpus=2, weights_gib=46712496672 / GIB, kv_gib=0.5,
        fits=True,
    ),
    Question(
        "Mixtral 8x7B, AWQ 4-bit, 1× A10G", MIXTRAL[0], f"{MIXTRAL[1]}-AWQ", MIXTRAL[2], quant="awq-4bit", gpu="A10G",
        nominal_gb=24, weights_gib=24677720640 / GIB, kv_gib=1.0, fits=False,
    ),
    Question(
        "Llama-3.1-8B, bf16, 1× A10G", "llama-3.1-8b", "stand-in/Llama-3.1-8B", "meta-llama/Llama-3.1-8B", gpu="A10G",
        nominal_gb=24, weights_gib=14.99, kv_gib=1.0, fits=True,
    ),
    Question(
        "Qwen3-30B-A3B, bf16, 1× H100", "qwen3-30b-a3b", "stand-in/Qwen3-30B-A3B", "Qwen/Qwen3-30B-A3B", gpu="H100-SXM",
        nominal_gb=80, weights_gib=56.88, kv_gib=0.75, fits=True,
    ),
    Question(
        "DeepSeek-V3, FP8, 8× H200", "deepseek-v3", "stand-in/DeepSeek-V3", "deepseek-ai/DeepSeek-V3", gpu="H200",
        gpus=8, nominal_gb=141, weights_gib=85416955888 / GIB, kv_gib=575668224 / GIB, fits=True,
    ),
)  # fmt: skip


class Answer(NamedTuple):
    """What a tool said, in GiB; None: it does not say. `whole`: of the model, not of one GPU."""

    weights_gib: float | None = None
    kv_gib: float | None = None
    total_gib: float | None = None
    fits: bool | None = None
    whole: bool = False
    refusal: str = ""


class Place(NamedTuple):
    """Where the tools work: a folder with a configuration for each model, the address of the Hub's stand-in."""

    folder: Path
    hub: str


class Tool(ABC):
    """A sizer: how it is asked, and how its answer is read."""

    name: ClassVar[str]

    def __init__(self, python: Path) -> None:
        self.python = python

    @abstractmethod
    def command(self, question: Question, place: Place) -> Command | str:
        """The process to start, or why there is none to ask."""

    @abstractmethod
    def read(self, run: Run) -> Answer:
        """The answer in what it printed."""

    def answer(self, run: Run) -> Answer:
        """The answer, or the last line of its refusal."""
        try:
            return self.read(run)
        except (ValueError, KeyError, TypeError):
            lines = [line for line in (run.error + run.output).splitlines() if line.strip()]
            said = next((line for line in reversed(lines) if re.match(r"\w*Error|vramcalc:", line)), lines[-1])
            return Answer(refusal=said.strip()[:160])


class Moesize(Tool):
    """moesize's own catalogue, offline."""

    name = "moesize"

    def reference(self, question: Question) -> list[str]:
        return [question.model, *(["--quant", question.quant] if question.quant else []), "--offline"]

    def environment(self, place: Place) -> dict[str, str]:  # noqa: ARG002  the Hub variant needs it
        return {"PYTHONPATH": str(ROOT)}

    def command(self, question: Question, place: Place) -> Command | str:
        words = [*self.reference(question), "--gpu", question.gpu, "--gpus", str(question.gpus), "--format", "json"]
        words += ["--context", str(CONTEXT), "--concurrency", "1"]
        return Command([str(self.python), "-m", "moesize", "check", *words], {**ENVIRONMENT, **self.environment(place)})

    def read(self, run: Run) -> Answer:
        report = json.loads(run.output)
        gpu = report["per_gpu"]
        figures = (gpu[key] / GIB for key in ("weights_bytes", "kv_cache_bytes", "total_bytes"))
        return Answer(*figures, fits=report["verdict"] != "oom")


class MoesizeHub(Moesize):
    """moesize, asked as for a model it does not know: configuration and headers come over HTTP."""

    name = "moesize, Hub"

    def reference(self, question: Question) -> list[str]:
        return [question.repository]

    def environment(self, place: Place) -> dict[str, str]:
        here = {"HF_ENDPOINT": place.hub, "HF_HOME": str(place.folder / "hf"), "NO_PROXY": "*"}
        return {**super().environment(place), **here, "HF_HUB_DISABLE_TELEMETRY": "1"}


#: hf-mem has the Hub's address in its code; requests are turned to another one where its HTTP client sends them.
_HF_MEM = """
import sys, httpx2
base = httpx2.URL(sys.argv.pop(1))
send = httpx2.AsyncClient.send
async def elsewhere(self, request, **options):
    request.url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port)
    return await send(self, request, **options)
httpx2.AsyncClient.send = elsewhere
from hf_mem.cli import main
main()
"""


class HfMem(Tool):
    """Alvaro Bartolome's hf-mem: sizes of the headers on the Hub, and a KV estimate marked experimental."""

    name = "hf-mem"

    def command(self, question: Question, place: Place) -> Command | str:
        words = ["--model-id", question.repository, "--experimental", "--max-model-len", str(CONTEXT), "--json-output"]
        if question.quant:
            words += ["--kv-cache-dtype", "bfloat16"]  # without it no quantised model is answered but fp8
        return Command([str(self.python), "-c", _HF_MEM, place.hub, *words], {**ENVIRONMENT, "NO_PROXY": "*"})

    def read(self, run: Run) -> Answer:
        report = json.loads(run.output)
        return Answer(*(report[key] / GIB for key in ("memory", "kv_cache", "total_memory")), whole=True)


class Vramcalc(Tool):
    """sacom123's vramcalc: dense models of five families on one GPU, from a config.json."""

    name = "vramcalc"

    def command(self, question: Question, place: Place) -> Command | str:
        if question.gpus > 1 or question.quant:
            return "knows one GPU and no quantisation"
        gpu = {"A10G": "A10", "H100-SXM": "H100 80GB", "A100-80GB": "A100 80GB"}[question.gpu]
        words = ["estimate", str(place.folder / question.model), "--dtype", "bf16", "--seq", str(CONTEXT), "--gpu", gpu]
        return Command([str(self.python.parent / "vramcalc"), *words, "--json"])

    def read(self, run: Run) -> Answer:
        report = json.loads(run.output)
        estimate, fit = report["estimate"], report["fit"]
        total = fit["required_bytes"] / GIB
        return Answer(estimate["weights"] / GIB, estimate["kv_cache"] / GIB, total, fit["ok"])


class Llmfit(Tool):
    """Alex Jones's llmfit: a model's entry in its own database, at bits per weight of a quantisation."""

    name = "llmfit"

    def command(self, question: Question, place: Place) -> Command | str:
        quant = {"awq-4bit": "AWQ-4bit", None: "FP8" if question.model == "deepseek-v3" else "BF16"}[question.quant]
        words = ["--memory", f"{question.nominal_gb * question.gpus}G", "--json", "--no-dashboard", "plan"]
        words += [question.hub_id, "--context", str(CONTEXT), "--quant", quant]
        return Command(
            [str(self.python.parent / "llmfit"), *words], {**ENVIRONMENT, "HOME": str(place.folder)}, place.folder
        )

    def read(self, run: Run) -> Answer:
        report = json.loads(run.output)
        weights, total = report["disk_size_gb"], report["minimum"]["vram_gb"]
        fits = report["current"]["fit_level"] != "TooTight" and report["current"]["run_mode"] == "Gpu"
        return Answer(weights * 1e9 / GIB, None, total * 1e9 / GIB, fits, whole=True)


class Aiconfigurator(Tool):
    """NVIDIA's aiconfigurator: latency from measured kernels, with a memory breakdown."""

    name = "aiconfigurator"

    def command(self, question: Question, place: Place) -> Command | str:
        systems = {"A100-80GB": "a100_sxm", "H100-SXM": "h100_sxm", "H200": "h200_sxm"}
        if question.gpu not in systems:
            return f"has no system for {question.gpu}"
        words = ["cli", "estimate", "--no-color", "--estimate-mode", "static", "--detail", "memory"]
        words += ["--backend", "vllm", "--system", systems[question.gpu]]
        words += ["--model-path", str(place.folder / question.model)]
        words += ["--isl", str(CONTEXT - 2), "--osl", "2", "--batch-size", "1", "--tp-size", str(question.gpus)]
        if question.model != "llama-3.1-8b":
            words += ["--moe-tp-size", str(question.gpus)]
        return Command([str(self.python.parent / "aiconfigurator"), *words], {**ENVIRONMENT, "HOME": str(place.folder)})

    def read(self, run: Run) -> Answer:
        rows = dict(re.findall(r"^  (weights|kvcache|total) +([\d.]+) GiB", run.output, re.MULTILINE))
        figures = (float(rows[key]) for key in ("weights", "kvcache", "total"))
        return Answer(*figures, fits="OOM:" not in run.output + run.error)


PEERS: tuple[type[Tool], ...] = (HfMem, Vramcalc, Llmfit, Aiconfigurator)
