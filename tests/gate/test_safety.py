"""Files are untrusted: nothing in one may hang, crash, blow up memory or reach outside the tree."""

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from moesize.gate.discover import MAX_FILE_BYTES
from moesize.gate.read import read_deployments

SERVER = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{image: 'vllm/vllm-openai:v0.9.0', args: [--model=org/m]}]}\n"


def kinds(result):
    return [problem.kind for problem in result.problems]


BOMBS = {
    "deep flow": "model: " + "[" * 10_000,
    "deep flow closed": "model: " + "[" * 10_000 + "]" * 10_000,
    "deep blocks": "".join(" " * i + "model:\n" for i in range(1_000)),
    "billion laughs": "model: &a0 [x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)),
    "merge bomb": "model: &a0 {k0: v}\n"
    + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}], k{i}: v}}\n" for i in range(1, 12)),
    "cyclic alias": "model: &a [*a]",
    "cyclic merge": "model: &a {<<: *a, image: b}",
    "many values": "model: [" + "1," * 300_000 + "]",
    "many keys": "model: {" + ",".join(f"k{i}: v" for i in range(150_000)) + "}",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_cost_little_and_are_told(read_text, text):
    started = time.process_time()
    result = read_text(text + ("\n" if "[[" in text else "\n---\n" + SERVER))
    assert time.process_time() - started < 5  # processor time: other jobs on the machine do not count
    if text != BOMBS["many keys"]:
        assert kinds(result) in (["too-complex"], ["invalid"])
    if "[[" not in text:
        assert [d.name for d in result.deployments] == ["x"], "one bad document must not hide the next"


@pytest.mark.parametrize("name", ["billion laughs", "merge bomb", "cyclic merge"])
def test_bombs_take_no_memory(read_text, name):
    tracemalloc.start()
    try:
        read_text(BOMBS[name])
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


def test_deep_json(read_text):
    assert kinds(read_text('{"model":' * 5_000 + "1" + "}" * 5_000, "deep.json")) == ["too-complex"]


def test_shell_bombs_end(read_text):
    nested = "${A:-" * 5_000 + "x" + "}" * 5_000
    doubling = "".join(f'A{i + 1}="$A{i}$A{i}"\n      ' for i in range(60))
    for script in (
        nested,
        "$((" * 4_000,
        "$(" * 4_000,
        '"' * 9_999,
        "<<X " * 5_000,
        "(" * 20_000,
        doubling,
        "A+=$A;" * 5_000,
        "A=(" * 9_000,
        "".join(f"a{i}=(x) " for i in range(9_000)),
    ):
        started = time.process_time()
        read_text(
            f"apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: vllm\n    command: [sh, -c]\n    args:\n    - |\n      A0=xxxxxxxxxx\n      {script}\n      vllm serve $A60 --tensor-parallel-size $((1*2))\n"
        )
        assert time.process_time() - started < 5  # processor time: other jobs on the machine do not count


def test_large_file_is_refused_unread(tmp_path):
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    tracemalloc.start()
    try:
        assert kinds(read_deployments([tmp_path], root=tmp_path)) == ["too-large"]
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held < MAX_FILE_BYTES
    assert MAX_FILE_BYTES < 100 * 2**20


@pytest.mark.parametrize(
    "content",
    [b"\x00\x01model\xff", "model: ü".encode("latin-1"), "model: x".encode("utf-16"), b"\x7fELF\x02model" + bytes(64)],
)
def test_binary_and_other_encodings(tmp_path, content):
    (tmp_path / "x.yaml").write_bytes(content)
    assert kinds(read_deployments([tmp_path], root=tmp_path)) == ["unreadable"]


def test_byte_order_mark_and_windows_lines(tmp_path):
    (tmp_path / "x.yaml").write_bytes(
        b"\xef\xbb\xbf" + SERVER.replace("\n", "\r\n").encode() + b"---\r\n" + SERVER.encode()
    )
    result = read_deployments([tmp_path], root=tmp_path)
    assert [d.where.line for d in result.deployments] == [4, 9]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert kinds(read_deployments([tmp_path, tmp_path / "pipe.yaml"], root=tmp_path)) == ["unreadable"]


def test_links_are_followed_only_within_the_tree(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "root"
    for folder in (outside, root / "sub"):
        folder.mkdir(parents=True)
    (outside / "secret.yaml").write_text(SERVER)
    (root / "sub" / "real.yaml").write_text(SERVER)
    (root / "file-out.yaml").symlink_to(outside / "secret.yaml")
    (root / "folder-out").symlink_to(outside, target_is_directory=True)
    (root / "again.yaml").symlink_to(root / "sub" / "real.yaml")
    (root / "sub" / "loop").symlink_to(root, target_is_directory=True)
    (root / "self.yaml").symlink_to(root / "self.yaml")
    (root / "gone.yaml").symlink_to(root / "nothing.yaml")
    result = read_deployments([root, root / "file-out.yaml"], root=root)
    assert len(result.deployments) == 1
    assert sorted((p.kind, Path(p.where.file).name) for p in result.problems) == [
        ("outside", "file-out.yaml"),
        ("outside", "file-out.yaml"),
        ("outside", "folder-out"),
        ("unreadable", "gone.yaml"),
        ("unreadable", "self.yaml"),
    ]


def test_env_files_outside_the_tree_are_not_read(tmp_path):
    (tmp_path / "secrets.env").write_text("MODEL=leaked/model\n")
    root = tmp_path / "root"
    root.mkdir()
    (root / ".env").symlink_to(tmp_path / "secrets.env")
    (root / "compose.yaml").write_text(
        "services: {a: {image: 'vllm/vllm-openai:v0.9.0', command: '--model ${MODEL}'}}\n"
    )
    (root / "kustomization.yaml").write_text("configMapGenerator: [{name: c, envs: [../secrets.env, /etc/passwd]}]\n")
    (root / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{image: 'vllm/vllm-openai:v0.9.0', "
        "args: [--model=$(MODEL)], envFrom: [{configMapRef: {name: c}}]}]}\n"
    )
    result = read_deployments([root], root=root)
    assert len(result.deployments) == 2
    assert "leaked" not in repr(result)


def test_missing_paths_and_empty_trees(tmp_path):
    assert kinds(read_deployments([tmp_path / "no" / "such.yaml"], root=tmp_path)) == ["missing"]
    assert kinds(read_deployments([Path("a\0b")], root=tmp_path)) == ["missing"]
    assert read_deployments([tmp_path], root=tmp_path).files_read == 0


def test_secrets_do_not_leave_the_file(read_text):
    result = read_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - image: vllm/vllm-openai:v0.9.0\n"
        "    args: [--model=org/m, --api-key=$(KEY), --hf-token, hunter2, --max-model-len, $(LEN)]\n"
        "    env: [{name: KEY, value: hunter2}, {name: HF_TOKEN, value: hunter2}]\n"
    )
    assert result.deployments[0].model.value == "org/m"
    assert "hunter2" not in repr(result)


def test_overlapping_paths_are_read_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.yaml").write_text(SERVER)
    result = read_deployments([tmp_path, tmp_path / "a", tmp_path / "a" / "x.yaml"], root=tmp_path)
    assert (len(result.deployments), result.files_read) == (1, 1)
    assert result.deployments[0].where.file == "a/x.yaml"
