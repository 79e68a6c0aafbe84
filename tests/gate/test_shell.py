"""The reader of shell text: whatever a script holds, reading it ends, and plain words come out as they went in."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moesize.gate.document import Position
from moesize.gate.launch import Container, find_launches
from moesize.gate.shell import Script, Word

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


QUICK = settings(
    max_examples=200, deadline=2_000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


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
