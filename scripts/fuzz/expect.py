"""What every run and every answer must satisfy; each function lists what does not hold."""

import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

from scripts.fuzz.case import Answer, Case

#: No sentence is longer: the longest lists known names.
_LONGEST_SENTENCE = 2000
_MIB = 2**20


def of_run(case: Case, status: int, out: str, err: str) -> Iterator[str]:
    """What any command satisfies, whatever it was given."""
    if status not in (0, 1, 2):
        yield f"exit status {status}"
    if "Traceback" in err:
        yield "a traceback"
    for name, text in (("output", out), ("error", err)):
        known = (
            "\n\u200b" if form_of(case) == "markdown" else "\n"
        )  # Markdown breaks addresses with a space of no width
        raw = next((c for c in text if not c.isprintable() and c not in known), None)
        if raw is not None:
            yield f"a raw control character {raw!r} in the {name}: {_around(text, raw)!r}"
        if "CANARY" in text:
            yield f"a file outside the tree is shown in the {name}"
    if status == 2:
        yield from _refusal(case, err)
    elif err:
        yield f"status {status}, and yet an error: {err[:300]!r}"
    if status in (0, 1):
        yield from of_output(case, status, out)


def _refusal(case: Case, err: str) -> Iterator[str]:
    if case.words[:1] == ("lock",) and not err:
        return  # says what became of each model on its output
    if err.startswith("Usage:"):
        if "Error:" not in err:
            yield f"a usage error that says nothing: {err[:300]!r}"
        return
    if not err.startswith("moesize: ") or not err.endswith("\n") or err.count("\n") != 1 or len(err) < 15:
        yield f"not one sentence: {err[:400]!r}"
    if len(err) > _LONGEST_SENTENCE:
        yield f"a sentence of {len(err)} characters"


def _around(text: str, raw: str) -> str:
    at = text.index(raw)
    return text[max(0, at - 40) : at + 20]


def form_of(case: Case) -> str:
    """The format asked for, the last one winning; text where none is."""
    words = case.words
    found = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("--format", "-f")]
    return found[-1] if found else "text"


def parsed(out: str) -> Answer:
    """JSON without what JSON has not."""

    def refuse(word: str) -> Any:  # noqa: ANN401
        raise ValueError(f"{word} is no JSON")

    value: Answer = json.loads(out, parse_constant=refuse)
    return value


def of_output(case: Case, status: int, out: str) -> Iterator[str]:
    """What an answer satisfies in the format asked for."""
    form = form_of(case)
    if not out or {"--explain", "--as-row"} & set(case.words):
        return  # it went into a file, or is of a form of its own
    try:
        if form in ("json", "sarif"):
            answer = parsed(out)
            yield from _ANSWERS.get(answer.get("schema", "") if isinstance(answer, dict) else "", _nothing)(
                answer, status
            )
        elif form == "junit":
            ET.fromstring(out)
    except (ValueError, ET.ParseError) as error:
        yield f"no valid {form}: {error}"


def _nothing(_answer: Answer, _status: int) -> Iterator[str]:
    return iter(())


def _check(answer: Answer, status: int) -> Iterator[str]:
    gpu, terms, verdict = answer["per_gpu"], answer["terms"], answer["verdict"]
    parts = {
        "weights": "weights_bytes",
        "kv_cache": "kv_cache_bytes",
        "activation": "activation_bytes",
        "runtime": "runtime_bytes",
    }
    for category, key in parts.items():
        summed = sum(t["bytes"] for t in terms if t["category"] == category and t["in_budget"])
        if summed != gpu[key]:
            yield f"the terms of {category} come to {summed}, {key} is {gpu[key]}"
        if gpu[key] < 0:
            yield f"{key} is {gpu[key]}"
    if sum(gpu[key] for key in parts.values()) != gpu["total_bytes"]:
        yield "the sums do not add up to the total"
    if gpu["budget_bytes"] - gpu["total_bytes"] != gpu["headroom_bytes"]:
        yield "budget − total is not the headroom"
    if not gpu["total_low_bytes"] <= gpu["total_bytes"] <= gpu["total_high_bytes"]:
        yield "the total lies outside its interval"
    for term in terms:
        if not 0 <= term["low_bytes"] <= term["bytes"] <= term["high_bytes"]:
            yield f"the interval of {term['term']} is none"
    if verdict == "fits" and gpu["total_high_bytes"] > gpu["budget_bytes"]:
        yield "it fits, and is larger than the budget"
    if (verdict == "oom") != (answer["oom_at"] is not None) or (verdict != "fits" and not answer["reasons"]):
        yield f"{verdict} at {answer['oom_at']} because {answer['reasons']}"
    if (status == 0 and verdict == "oom") or (status == 1 and verdict == "fits"):
        yield f"{verdict} with status {status}"
    yield from _model(answer["model"])
    pool = answer["kv_cache"]
    if any(value is not None and value < 0 for value in pool.values()):
        yield f"a negative pool: {pool}"
    if any(
        not isinstance(v, int | float) or v < 0
        for v in answer["compute"].values()
        if v is not None and not isinstance(v, dict | str)
    ):
        yield f"negative work: {answer['compute']}"


def _model(model: Answer) -> Iterator[str]:
    counts = model["params"]
    if (
        not counts["total"]
        >= counts["active"]
        >= counts["active_excluding_input_embedding"]
        >= counts["active_excluding_embeddings"]
        >= 0
    ):
        yield f"more active than total parameters: {counts}"
    if any(count < 0 for count in counts["by_role"].values()):
        yield f"a negative count: {counts}"
    if model["moe_layers"] > model["layers"] or model["layers"] < 0:
        yield f"{model['moe_layers']} of {model['layers']} layers have experts"


def _gate(answer: Answer, status: int) -> Iterator[str]:
    fails = any(one["fails"] for one in answer["findings"])
    if answer["exit_status"] != status or (status == 1) != fails:
        yield f"status {status}, exit_status {answer['exit_status']}, failing findings: {fails}"
    said = {one["deployment"] for one in answer["findings"]}
    for number, one in enumerate(answer["deployments"]):
        for gpu in one["gpus"]:
            if gpu["total_bytes"] is not None and gpu["budget_bytes"] - gpu["total_bytes"] != gpu["headroom_bytes"]:
                yield "budget − total is not the headroom"
        if one["verdict"] in ("oom", "refused", "undecided") and number not in said and not _levels_off(answer):
            yield f"{one['verdict']} without a finding"
    verdicts = [one["verdict"] for one in answer["deployments"]]
    if any(
        answer["summary"][verdict] != verdicts.count(verdict)
        for verdict in ("fits", "tight", "oom", "refused", "undecided")
    ):
        yield "the summary counts other verdicts"


def _levels_off(answer: Answer) -> bool:
    """A policy may switch rules off; the harness's own only does in its policy surface."""
    return not answer["findings"]


_ANSWERS = {"moesize.check/1": _check, "moesize.gate/1": _gate}


def between(relation: str, before: Answer, after: Answer) -> Iterator[str]:
    """What a question and the same with one thing more have to do with each other."""
    a, b = before["per_gpu"], after["per_gpu"]
    if relation in ("context", "concurrency"):
        for key in ("kv_cache_bytes", "total_bytes", "total_high_bytes"):
            if b[key] < a[key]:
                yield f"more {relation} needs less: {key} {a[key]} -> {b[key]}"
        if relation == "context" and before["verdict"] == "oom" and after["verdict"] == "fits":
            yield "a longer context fits where a shorter one does not"
    elif relation == "tp" and b["weights_bytes"] > a["weights_bytes"]:
        yield f"twice the GPUs hold more weights each: {a['weights_bytes']} -> {b['weights_bytes']}"
    elif relation == "memory":
        if b["budget_bytes"] < a["budget_bytes"]:
            yield "a larger card has a smaller budget"
        if before["verdict"] == "fits" and after["verdict"] != "fits":
            yield "it fits a card, and not a larger one"
    elif relation == "dp" and b["weights_bytes"] > a["weights_bytes"]:
        yield "a second replica makes the weights of a rank larger"
    elif relation == "strict" and {k: v for k, v in before.items() if k != "x"} != after:
        yield "--strict changes the answer"
