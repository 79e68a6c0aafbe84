"""The offline path imports nothing heavy."""

import json
import subprocess
import sys

import moesize

HEAVY = ("torch", "transformers", "huggingface_hub", "numpy", "requests", "httpx", "pydantic.main")


def test_an_offline_check_imports_nothing_heavy() -> None:
    code = (
        "import json, sys\n"
        "from moesize.cli.main import main\n"
        "status = main(['check', 'mixtral-8x7b', '--gpu', 'A10G', '--quant', 'gptq-4bit'])\n"
        "print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stderr)
    assert status == 1
    assert [name for name in HEAVY if name in modules] == []


def test_the_public_names_are_what_they_say() -> None:
    for name in moesize.__all__:
        assert getattr(moesize, name) is not None
