from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_batch_endpoints.exceptions import UserError
from airflow_batch_endpoints.jobs import shell

SHELLS = [path for name in ("bash", "dash") if (path := shutil.which(name))]
HOSTILE = [
    *("$(touch PWNED)", "`touch PWNED`", "; touch PWNED;", "\n touch PWNED\n", "&& touch PWNED", "| touch PWNED"),
    *("' ; touch PWNED '", '" ; touch PWNED "', "a[$(touch PWNED)]", "a[`touch PWNED`]=1", "x=a[$(touch PWNED)]"),
    *(
        "$((a[$(touch PWNED)]))",
        "${a[$(touch PWNED)]}",
        "EOF\ntouch PWNED",
        ">PWNED",
        "<(touch PWNED)",
        "{touch,PWNED}",
    ),
    *("${{inputs.x}}", "$[[ ]]", "*", "~", "!!", "-n", "\\", "'", '"', "#"),
]
VALUES = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(
        st.one_of(st.sampled_from(HOSTILE), st.text("'\"$`\\;&|<>(){}[]*?~!# \n\t=-%a1", max_size=4)), max_size=4
    ).map("".join),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
)
WHOLE = {
    "bare": "printf '%s' ${{inputs.x}}",
    "spaced": "printf '%s' ${{ inputs.x }}",
    "double": """printf '%s' "${{inputs.x}}" """,
    "single": "printf '%s' '${{inputs.x}}'",
    "assigned": """value=${{inputs.x}}; printf '%s' "$value" """,
    "comment": "# don't\nprintf '%s' ${{inputs.x}} # ${{inputs.x}} \"",
    "loop": """for one in ${{inputs.x}}; do printf '%s' "$one"; done""",
    "case": "case ${{inputs.x}} in *) printf '%s' ${{inputs.x}};; esac",
    "subshell": "(printf '%s' ${{inputs.x}})",
    "optional": "printf '%s' $[[ ${{inputs.x}} ]]",
    "shift": "echo $((1 << 2)) >&2; printf '%s' ${{inputs.x}}",
    "quoted-here": "cat <<'EOF' >&2\n${HOME} \"\nEOF\nprintf '%s' ${{inputs.x}}",
    "backslash": r"printf '%s' \"x >&2; printf '%s' ${{inputs.x}}",
}
"""Commands that print the value and nothing else."""
EMBEDDED = {
    "joined": ("printf '%s' --x=${{inputs.x}}.csv", "--x=", ".csv"),
    "in double": ("""printf '%s' "it's ${{inputs.x}}!" """, "it's ", "!"),
    "in single": ("""printf '%s' 'a "b" ${{inputs.x}} $c'""", 'a "b" ', " $c"),
    "here": ("cat <<EOF\n'\"${{inputs.x}}\nEOF\n", "'\"", "\n"),
    "stripped here": ("cat <<-EOF\n\t[${{inputs.x}}]\n\tEOF\n", "[", "]\n"),
}


def run(program: str, text: str, folder: Path, value: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [program, "-c", text],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), shell.variable("inputs", "x"): value},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )


def for_shell(text: str, kind: shell.Kind = "text") -> str:
    return shell.for_shell(text, {"x": kind}, {"y"})


@pytest.mark.parametrize("program", SHELLS)
@settings(max_examples=60)
@given(value=VALUES, name=st.sampled_from(sorted(WHOLE)))
def test_a_value_arrives_as_it_is_and_does_nothing(program: str, value: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        done = run(program, for_shell(WHOLE[name]), Path(folder), value)
        assert (done.returncode, done.stdout) == (0, os.fsencode(value)), done.stderr
        assert os.listdir(folder) == []


@pytest.mark.parametrize("program", SHELLS)
@settings(max_examples=40)
@given(value=VALUES, name=st.sampled_from(sorted(EMBEDDED)))
def test_a_value_arrives_among_other_text(program: str, value: str, name: str) -> None:
    text, before, after = EMBEDDED[name]
    with tempfile.TemporaryDirectory() as folder:
        done = run(program, for_shell(text), Path(folder), value)
        assert (done.returncode, done.stdout) == (0, os.fsencode(before + value + after)), done.stderr
        assert os.listdir(folder) == []


@pytest.mark.parametrize("program", SHELLS)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_in_a_substitution_arrives_as_it_is(program: str, value: str, tmp_path: Path) -> None:
    for text in ("printf '%s' \"$(printf '%s' ${{inputs.x}})\"", "printf '%s' \"$(printf '%s' \"${{inputs.x}}\")\""):
        assert run(program, for_shell(text), tmp_path, value).stdout == os.fsencode(value.rstrip("\n"))
    assert os.listdir(tmp_path) == []


PIECES = [
    *("${{inputs.x}}", "${{inputs.x}}", "${{inputs.x}}", "'", '"', "\\", "`", "$(", ")", "$((", "))", "((", "(", "$["),
    *(
        "[[ ",
        " ]]",
        " -eq ",
        " -v ",
        " == ",
        "a[",
        "]",
        "=1",
        "+=1",
        "${v:-",
        "${v:",
        "${#v",
        "${",
        "}",
        "<<EOF\n",
        "<<'EOF'\n",
    ),
    *(
        "<<-EOF\n",
        "\nEOF\n",
        "<<<",
        "#",
        "$'",
        '$"',
        " ",
        "\n",
        ";",
        "&&",
        "|",
        "echo ",
        ": ",
        "v=",
        "test ",
        "for i in ",
    ),
    *(
        "; do ",
        "done",
        "case ",
        " in ",
        ";;",
        "esac",
        "if ",
        "; then ",
        "fi",
        "{ ",
        "; }",
        "$[[",
        "]]",
        "$",
        "!",
        "*",
        "1",
        "+",
    ),
]


@pytest.mark.parametrize("program", SHELLS)
@settings(max_examples=400)
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=12), value=st.sampled_from(HOSTILE))
@example(pieces=["[[ ", "${{inputs.x}}", " -eq ", "1", " ]]"], value="a[$(touch PWNED)]")
@example(pieces=["a[", "${{inputs.x}}", "]", "=1"], value="$(touch PWNED)")
@example(pieces=["echo ", "$((", "${{inputs.x}}", "+", "1", "))"], value="a[$(touch PWNED)]")
@example(pieces=["((", "${{inputs.x}}", "))"], value="a[$(touch PWNED)]")
@example(pieces=["echo ", '"', "$((", "${{inputs.x}}", "))", '"'], value="a[$(touch PWNED)]")
@example(pieces=["echo ", "${v:", "${{inputs.x}}", "}"], value="a[$(touch PWNED)]")
@example(pieces=["echo ", "<<EOF\n", "$((", "${{inputs.x}}", "))", "\nEOF\n"], value="a[$(touch PWNED)]")
def test_whatever_a_command_is_made_of_a_value_never_becomes_code(program: str, pieces: list[str], value: str) -> None:
    text = "".join(pieces)
    try:
        text = for_shell(text)
    except UserError:
        return
    with tempfile.TemporaryDirectory() as folder:
        run(program, text, Path(folder), value)
        assert "PWNED" not in os.listdir(folder), text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("echo ${{inputs.z}}", "no such thing in inputs; there is: x"),
        ("echo ${{outputs.x}}", "no such thing in outputs; there is: y"),
        ("echo ${{parent.inputs.x}}", "expected ${{inputs.<name>}}"),
        ("echo ${{inputs.x", "expected ${{inputs.<name>}}"),
        ("echo $((${{inputs.x}} + 1))", "in arithmetic"),
        ("echo `echo ${{inputs.x}}`", "between backticks"),
        ("echo ${v:-${{inputs.x}}}", "inside ${ }"),
        ("python <<'EOF'\nprint('${{inputs.x}}')\nEOF", "here-document"),
        ("[[ ${{inputs.x}} -gt 1 ]]", "reads as arithmetic"),
        ("a[${{inputs.x}}]=1", "reads arithmetic"),
        ("[ -v ${{inputs.x}} ]", "reads arithmetic"),
        ("test 1 -a -v '${{inputs.x}}'", "reads arithmetic"),
        ("if true; then let 'n=${{inputs.x}}'; fi", "reads arithmetic"),
        ('a["${{inputs.x}}"]=1', "reads arithmetic"),
    ],
)
def test_what_cannot_be_said_safely_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        for_shell(text)
    assert sentence in str(error.value)


def test_what_only_looks_like_it_is_not_refused(tmp_path: Path) -> None:
    assert run(SHELLS[0], for_shell("echo a | grep -v ${{inputs.x}}"), tmp_path, "b").stdout == b"a\n"
    assert run(SHELLS[0], for_shell("echo 'please let ${{inputs.x}}'"), tmp_path, "go").stdout == b"please let go\n"
    assert (
        run(SHELLS[0], for_shell("[ ${{inputs.x}} -gt 1 ] || echo no"), tmp_path, "a[$(touch PWNED)]").stdout == b"no\n"
    )
    assert os.listdir(tmp_path) == []


def test_numbers_may_stand_in_arithmetic(tmp_path: Path) -> None:
    for text in (
        "echo $((${{inputs.x}} * 2))",
        "[[ ${{inputs.x}} -gt 1 ]] && echo 42",
        "a[${{inputs.x}}]=42; echo ${a[21]}",
    ):
        assert run(SHELLS[0], for_shell(text, "number"), tmp_path, "21").stdout == b"42\n"


def test_optional_parts_vanish_when_nothing_is_given() -> None:
    text = "run --y ${{outputs.y}} $[[--x ${{inputs.x}}]] end"
    assert for_shell(text) == 'run --y "${BATCH_ENDPOINTS_OUTPUT_y}" --x "${BATCH_ENDPOINTS_INPUT_x}" end'
    assert for_shell(text, "absent") == 'run --y "${BATCH_ENDPOINTS_OUTPUT_y}"  end'
    with pytest.raises(UserError, match="an optional input that is not given"):
        for_shell("run ${{inputs.x}}", "absent")


def test_arguments_are_cut_before_values_come_in() -> None:
    cut = shell.arguments("--x=${{ inputs.x }} 'a b' $[[--y ${{outputs.y}}]]", {"x": "text"}, {"y"})
    values = {"inputs.x": "a b ${{outputs.y}} '", "outputs.y": "/out"}
    assert [shell.fill(argument, values) for argument in cut] == ["--x=a b ${{outputs.y}} '", "a b", "--y", "/out"]
    with pytest.raises(UserError, match="close every quote"):
        shell.arguments("--x '", {"x": "text"}, ())


def test_literals_look_as_azure_writes_them() -> None:
    assert [shell.as_text(value) for value in (True, 3, 0.1, "x y")] == ["True", "3", "0.1", "x y"]
