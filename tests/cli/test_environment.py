"""Where commands run: no network, no home, no UTF-8, nobody who reads, no room on the disk, many at once."""

import importlib.util
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

_spec = importlib.util.spec_from_file_location(
    "moesize_tests_hub_server", Path(__file__).parents[1] / "model" / "hub_server.py"
)
hub_server = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hub_server)

RUN = [sys.executable, "-m", "moesize"]
FORM = "model: mixtral-8x7b\ngpu: A10G\nquant: gptq-4bit\n"
CONFIG = {
    "model_type": "mixtral", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 96, "num_local_experts": 4, "num_experts_per_tok": 2, "vocab_size": 128, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "torch_dtype": "bfloat16", "architectures": ["MixtralForCausalLM"],
}  # fmt: skip
#: Command and its exit status; `gate .` runs beside a deployment that does not fit.
COMMANDS = [
    (["check", "mixtral-8x7b", "--gpu", "A10G", "--quant", "gptq-4bit"], 1),
    (["check", "mixtral-8x7b", "--gpu", "A100-80GB", "--gpus", "2", "--format", "json"], 0),
    (["explain", "mixtral-8x7b"], 0),
    (["compare", "mixtral-8x7b", "--gpu", "H100,A10G"], 0),
    (["plan", "mixtral-8x7b", "--gpu", "H100", "--max-gpus", "2"], 0),
    (["gate", "."], 1),
    (["models", "list"], 0),
    (["gpus", "list"], 0),
    (["quants"], 0),
]
IDS = [" ".join(words[:2]) for words, _ in COMMANDS]


def environment(**changed: str | None) -> dict[str, str]:
    """The tests' own, without what decides how output looks, and changed."""
    left_out = (
        "COLUMNS",
        "NO_COLOR",
        "FORCE_COLOR",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "PYTHONIOENCODING",
        "PYTHONUTF8",
        *changed,
    )
    base = {
        key: value
        for key, value in os.environ.items()
        if key not in left_out and not key.startswith(("HF_", "HUGGING"))
    }
    root = str(Path(__file__).parents[2])
    base["PYTHONPATH"] = root if "PYTHONPATH" not in base else f"{root}{os.pathsep}{base['PYTHONPATH']}"
    return base | {key: value for key, value in changed.items() if value is not None}


def run(*words: str, folder: Path, env: dict[str, str] | None = None, **more) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*RUN, *words], cwd=folder, env=env or environment(), capture_output=True, check=False, **more
    )


def in_bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A shell script in which `moesize` is the command."""
    text = f'moesize() {{ "{sys.executable}" -m moesize "$@"; }}\n{script}'
    return subprocess.run(
        ["bash", "-c", text], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text(FORM)
    return tmp_path


@pytest.fixture
def read_only_home(tmp_path: Path) -> Path:
    """A home nothing can be written into, by root either."""
    if os.geteuid() == 0:
        return Path("/sys")
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    return home


def one_sentence(said: bytes | str) -> bool:
    text = said.decode() if isinstance(said, bytes) else said
    return text.startswith("moesize: ") and text.count("\n") == 1 and text.endswith("\n")


OFFLINE = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise SystemExit(f"asked the network: {event} {arguments}")
sys.addaudithook(refuse)
from moesize.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("words", "status"), COMMANDS, ids=IDS)
def test_no_network_and_no_home_that_can_be_written_is_needed(
    words: list[str], status: int, tree: Path, read_only_home: Path
) -> None:
    env = environment(HOME=str(read_only_home), XDG_CACHE_HOME=None)
    done = subprocess.run([sys.executable, "-c", OFFLINE, *words], cwd=tree, env=env, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (status, b"")
    assert done.stdout


@pytest.mark.parametrize(("words", "status"), COMMANDS[4:6], ids=IDS[4:6])
def test_no_home_is_needed(words: list[str], status: int, tree: Path) -> None:
    done = run(*words, folder=tree, env={"PYTHONPATH": environment()["PYTHONPATH"]})
    assert (done.returncode, done.stderr) == (status, b"")
    assert done.stdout


def test_a_model_of_the_hub_is_read_where_its_cache_cannot_be_written(tree: Path, read_only_home: Path) -> None:
    with hub_server.serving() as hub:
        hub.files["Org/Model"] = {"config.json": json.dumps(CONFIG).encode()}
        env = environment(HOME=str(read_only_home), HF_ENDPOINT=hub.url, NO_PROXY="*", XDG_CACHE_HOME=None)
        done = run("check", "Org/Model", "--gpu", "A10G", folder=tree, env=env)
    assert done.returncode == 0 or (done.returncode == 2 and one_sentence(done.stderr)), done.stderr


@pytest.mark.parametrize(
    "changed",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "latin-1"},
    ],
    ids=lambda changed: " ".join(f"{key}={value}" for key, value in changed.items()),
)
@pytest.mark.parametrize(("words", "status"), [*COMMANDS[:2], COMMANDS[5]], ids=[*IDS[:2], IDS[5]])
def test_a_terminal_that_is_not_utf8_gets_an_answer(
    words: list[str], status: int, changed: dict[str, str], tree: Path
) -> None:
    done = run(*words, folder=tree, env=environment(**changed))
    assert (done.returncode, done.stderr) == (status, b"")
    assert done.stdout.count(b"\n") >= 3
    if "json" in words:
        assert json.loads(done.stdout.decode("latin-1"))["verdict"] == "fits"


def test_a_sentence_is_said_in_ascii_too(tree: Path) -> None:
    env = environment(LC_ALL="C", PYTHONIOENCODING="ascii")
    done = run("check", "mixträl", "--gpu", "A10G", folder=tree, env=env)
    assert done.returncode == 2
    assert one_sentence(done.stderr)


@pytest.mark.skipif(sys.platform != "linux", reason="names of other systems are always text")
def test_names_that_are_no_text_are_shown_with_a_mark(tree: Path) -> None:
    folder = tree / os.fsdecode(b"mod\xff\x1b[31mel")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    for form in ("text", "json", "markdown"):
        done = run("check", str(folder / "config.json"), "--gpu", "A10G", "--format", form, folder=tree)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\x1b" not in done.stdout
        done.stdout.decode()
    (folder / "config.json").write_text("{")
    done = run("check", str(folder / "config.json"), "--gpu", "A10G", folder=tree)
    assert (done.returncode, b"\x1b" in done.stderr) == (2, False)


@pytest.mark.parametrize(("words", "status"), COMMANDS[3:7], ids=IDS[3:7])
def test_a_reader_who_goes_away_changes_no_status(words: list[str], status: int, tree: Path) -> None:
    done = in_bash(f"moesize {' '.join(words)} | true; exit ${{PIPESTATUS[0]}}", tree)
    assert (done.returncode, done.stderr) == (status, "")


def test_no_reader_at_all_changes_no_status(tree: Path) -> None:
    done = in_bash("moesize check mixtral-8x7b --gpu A10G --quant gptq-4bit >&- 2>&-", tree)
    assert (done.returncode, done.stderr) == (1, "")


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@full
@pytest.mark.parametrize(("words", "status"), COMMANDS[4:7], ids=IDS[4:7])
def test_a_full_disk_behind_standard_output_is_one_sentence(words: list[str], status: int, tree: Path) -> None:
    done = in_bash(f"moesize {' '.join(words)} > /dev/full", tree)
    assert done.returncode == 2
    assert one_sentence(done.stderr)
    assert "No space left" in done.stderr


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
from moesize.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
LOG = "INFO 11-01 [core.py:1] Initializing a V1 LLM engine (v0.11.0) with config: model='mistralai/Mixtral-8x7B-v0.1'\nModel loading took 87.0 GiB\n"


@pytest.mark.skipif(sys.platform != "linux", reason="file sizes are limited as Linux does it")
@pytest.mark.parametrize(
    "words",
    [
        ["check", "mixtral-8x7b", "--gpu", "A10G", "--output", "kept.txt"],
        ["check", "mixtral-8x7b", "--gpu", "A10G", "--format", "json", "--output", "kept.txt"],
        ["compare", "mixtral-8x7b", "--gpu", "H100", "--output", "kept.txt"],
        ["report", "mixtral-8x7b", "--gpu", "H100", "--output", "kept.txt"],
        ["gate", "a.yaml", "--output", "json=kept.txt"],
        ["gate", "a.yaml", "--write-baseline", "kept.txt"],
        ["observe", "server.log", "--gpu", "H200", "--offline", "--as-row", "--output", "kept.txt"],
    ],
    ids=lambda words: " ".join((words[0], words[-2])),
)
def test_a_full_disk_keeps_the_old_file(words: list[str], tree: Path) -> None:
    (tree / "kept.txt").write_text("as it was")
    (tree / "server.log").write_text(LOG)
    before = sorted(tree.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *words],
        cwd=tree,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert one_sentence(done.stderr), done.stderr
    assert b"kept.txt" in done.stderr
    assert (tree / "kept.txt").read_text() == "as it was"
    assert sorted(tree.iterdir()) == before


CHECK = ["check", "mixtral-8x7b", "--gpu", "A10G", "--format", "json"]


@full
def test_a_device_is_written_into_and_stays_one(tree: Path) -> None:
    done = run(*CHECK, "--output", "/dev/full", folder=tree)
    assert (done.returncode, one_sentence(done.stderr)) == (2, True)
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)
    piped = in_bash(f"moesize {' '.join(CHECK)} --output /dev/stdout | cat", tree)
    assert json.loads(piped.stdout)["verdict"] == "oom"
    assert Path("/dev/stdout").is_symlink()
    assert json.loads(run(*CHECK, "--output", "-", folder=tree).stdout)["verdict"] == "oom"


def test_a_link_is_followed_and_permissions_stay(tree: Path) -> None:
    (tree / "target.json").write_text("old")
    (tree / "target.json").chmod(0o600)
    (tree / "link.json").symlink_to("target.json")
    assert run(*CHECK, "--output", "link.json", folder=tree).returncode == 1
    assert (tree / "link.json").is_symlink()
    assert json.loads((tree / "target.json").read_text())["verdict"] == "oom"
    assert stat.S_IMODE((tree / "target.json").stat().st_mode) == 0o600
    in_bash(f"umask 027; moesize {' '.join(CHECK)} --output new.json", tree)
    assert stat.S_IMODE((tree / "new.json").stat().st_mode) == 0o640


def test_runs_that_write_one_file_leave_one_whole_answer(tree: Path) -> None:
    words = [*RUN, *CHECK, "--output", "same.json"]
    runs = [subprocess.Popen(words, cwd=tree, env=environment(), stderr=subprocess.PIPE) for _ in range(6)]
    assert [(one.communicate()[1], one.returncode) for one in runs] == [(b"", 1)] * 6
    assert json.loads((tree / "same.json").read_text())["verdict"] == "oom"
    assert sorted(path.name for path in tree.iterdir()) == ["a.yaml", "same.json"]


def test_runs_that_share_a_cache_and_a_folder_of_locks_agree(tree: Path) -> None:
    (tree / "a.yaml").write_text("model: Our-Org/Model-7\ngpu: H200\ncontext: 256\n")
    with hub_server.serving() as hub:
        hub.files["Our-Org/Model-7"] = {"config.json": json.dumps(CONFIG).encode()}
        env = environment(HF_ENDPOINT=hub.url, HF_HOME=str(tree / "home"), NO_PROXY="*", HF_HUB_DISABLE_XET="1")
        started = [
            subprocess.Popen([*RUN, *words], cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for words in [["check", "Our-Org/Model-7", "--gpu", "H200", "--format", "json"], ["lock", "a.yaml"]] * 3
        ]
        ended = [(one.communicate(), one.returncode) for one in started]
    assert [status for _, status in ended] == [0] * 6, ended
    assert len({out for (out, _), _ in ended[::2]}) == 1
    assert len(list((tree / ".moesize").rglob("*"))) == 3  # two folders and the spec
    assert run("gate", "a.yaml", folder=tree).returncode == 0
