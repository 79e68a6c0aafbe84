"""Whatever a file holds, reading it ends and tells: no exception, no hang."""

from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesize.gate.document import Position
from moesize.gate.facts import ReadResult
from moesize.gate.launch import Container, find_launches
from moesize.gate.read import read_deployments
from moesize.gate.shell import Script, Word

FIXTURES = Path(__file__).parent / "manifests"
DOCUMENTS = [
    document
    for path in sorted(FIXTURES.glob("*/*.yaml"))
    if "template" not in path.name and not path.name.endswith(".expect.yaml")
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if document
]


def keys_of(value):
    if isinstance(value, dict):
        yield from value
        for child in value.values():
            yield from keys_of(child)
    elif isinstance(value, list):
        for child in value:
            yield from keys_of(child)


KEYS = sorted({str(key) for document in DOCUMENTS for key in keys_of(document)})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(
        [
            "vllm",
            "--model",
            "-tp",
            "8",
            "$(X)",
            "${A:-",
            "$((",
            "H100:8",
            "nvidia.com/gpu",
            "hf://",
            "x/y",
            "{{ .Values.a }}",
            "sh",
            "-c",
        ]
    ),
)
TREES = st.recursive(
    SCALARS,
    lambda children: st.one_of(
        st.lists(children, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5)), children, max_size=5),
    ),
    max_leaves=30,
)
PIECES = st.sampled_from(
    [
        *(
            "vllm serve ",
            "org/model ",
            "--tensor-parallel-size ",
            "--max-model-len=",
            "-q ",
            "bash -c ",
            "exec ",
            "8 ",
            "32k ",
        ),
        *(
            "$A ",
            "${A:-1} ",
            "$((2*$B)) ",
            "$(c) ",
            "$@ ",
            "${",
            "}",
            "{",
            "'",
            '"',
            "\\",
            "`",
            "(",
            ")",
            "A=( ",
            "A+=",
        ),
        *(
            "\n",
            "; ",
            " && ",
            " | ",
            "> f ",
            "<<E\n",
            "E\n",
            "# ",
            "if ",
            "then ",
            "else ",
            "fi ",
            "for x in ",
            "case ",
        ),
    ]
)


def read(text: str, name: str = "f.yaml") -> ReadResult:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(text.encode("utf-8", "replace"))
        return read_deployments([path], root=Path(folder))


@st.composite
def mutated(draw):
    """A document of the fixtures with some values replaced by anything."""
    document = draw(st.sampled_from(DOCUMENTS))

    def change(value):
        if draw(st.integers(0, 11)) == 0:
            return draw(TREES)
        if isinstance(value, dict):
            return {key: change(child) for key, child in value.items()}
        if isinstance(value, list):
            return [change(child) for child in value]
        return value

    return change(document)


QUICK = settings(
    max_examples=200, deadline=2_000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@QUICK
@given(mutated())
def test_mutated_documents(document):
    assert isinstance(read(yaml.safe_dump(document)), ReadResult)


@QUICK
@given(TREES)
def test_any_tree(tree):
    read(
        yaml.safe_dump(
            {
                "model": tree,
                "servingEngineSpec": tree,
                "services": tree,
                "spec": tree,
                "kind": "Pod",
                "apiVersion": "v1",
            }
        )
    )


@QUICK
@given(st.text(max_size=300))
def test_any_text(text):
    for name in ("f.yaml", "f.json", "f.tf", "pyproject.toml", "f.py"):
        read("model gpu tool.bentoml LLMConfig(\n" + text, name)


@QUICK
@given(
    st.lists(PIECES, max_size=60).map("".join),
    st.dictionaries(st.sampled_from("ABC"), st.one_of(st.none(), st.text(max_size=5))),
)
def test_any_script(script, variables):
    where = Position("f", 1)
    words = (
        Word("sh", where),
        Word("-c", where),
        Word(script, where, block=True),
        Word("x", where),
        Word("--model=a/b", where),
    )
    for launch in find_launches(
        Container(words, where, "vllm/vllm-openai:v1.0", own_entrypoint=False, variables=dict(variables))
    ):
        assert launch.engine in ("vllm", "unknown")
        assert all(given.where.line >= 1 for values in launch.settings.given.values() for given in values)


@QUICK
@given(st.lists(st.from_regex(r"[a-z0-9/_.=-]{1,8}", fullmatch=True), max_size=8))
def test_plain_words_survive_the_shell(words):
    reader = Script(" ".join(words), Position("f"), line_by_line=False, variables={})
    found = [word.text for command in reader.commands() for word in command.words]
    # assignments and reserved words at the head are the shell's own
    assert found == words[len(words) - len(found) :]
    assert (
        all(
            "=" in word or word in ("if", "do", "fi", "for", "case", "then")
            for word in words[: len(words) - len(found)]
        )
        or not found
    )
