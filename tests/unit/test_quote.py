from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snakemake_executor_plugin_hpcctr.script.quote import array, exports, heredoc, quote, words

KNOWN_SHELLS = (("sh",), ("dash",), ("busybox", "sh"), ("bash",))
#: Those that this machine has, each once: `sh` is often a link to another.
SHELLS = list(
    {
        os.path.realpath(path): argv for argv in KNOWN_SHELLS if (path := shutil.which(argv[0]))
    }.values()
)
LOCALES = ("C", "C.UTF-8")
EVERY_BYTE = [bytes([byte]).decode(errors="surrogateescape") for byte in range(1, 256)]

#: Texts that shells have been seen to change, and any other: UTF-8 or not, without a NUL.
pieces = st.one_of(
    st.sampled_from("'\"\\\n$`!~- \t\r*#%&;=é€\x01\x7f\udcc2\udcff"),
    st.sampled_from(["$(id)", "\udce2\udc82", "[a]", "{1..3}", "\\\n", "'\\''"]),
)
texts = st.one_of(
    st.lists(pieces, max_size=12).map("".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.binary().map(lambda data: os.fsdecode(data.replace(b"\0", b""))),
).map(lambda text: os.fsdecode(os.fsencode(text)))  # two bytes that form a character are one


def said(shell: tuple[str, ...], script: str, locale: str = "C.UTF-8") -> list[str]:
    """Return what a script prints, split at its NULs."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": locale}
    done = subprocess.run(
        shell, input=os.fsencode(script), capture_output=True, env=environment, check=True
    )
    assert not done.stderr
    return [os.fsdecode(item) for item in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("text", ["abc", "/data/x_1.csv", "a=b", "1,2:3", "50%", "user@host"])
def test_plain_words_stay_as_they_are(text: str) -> None:
    """A word of harmless characters needs no quotes, so that scripts stay readable."""
    assert text == quote(text)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", "''"),
        ("a b", "'a b'"),
        ("it's", "'it'\\''s'"),
        ("plain\n", "'plain\n'"),
        ("~", "'~'"),
        ("$HOME", "'$HOME'"),
        ("-x *", "'-x *'"),
    ],
)
def test_everything_else_is_put_in_single_quotes(text: str, quoted: str) -> None:
    """Text with any character that a shell may act on is quoted."""
    assert quoted == quote(text)


@pytest.mark.parametrize("text", ["\0", "a\0b"])
def test_nul_is_refused(text: str) -> None:
    """A NUL cannot be an argument of a program, so it is refused and not cut off."""
    with pytest.raises(ValueError, match="NUL character"):
        quote(text)


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_every_byte_survives_every_shell(shell: tuple[str, ...], locale: str) -> None:
    """Each byte but NUL, alone and before a quote, a backslash or a letter, arrives unchanged."""
    items = [byte + after for byte in EVERY_BYTE for after in ("", "'", "\\", "\n", "a")]
    assert items == said(shell, f"printf '%s\\0' {words(items)}\n", locale)


@given(st.lists(texts, min_size=1, max_size=20))
def test_any_text_survives_every_shell(items: list[str]) -> None:
    """quote() is undone by sh, dash, busybox and bash, whatever the text is."""
    script = f"printf '%s\\0' {words(items)}\n"
    assert [items] * len(SHELLS) == [said(shell, script) for shell in SHELLS]


@given(st.lists(texts, max_size=30), st.sampled_from(LOCALES))
def test_any_list_survives_as_an_array(items: list[str], locale: str) -> None:
    """A bash array holds exactly the items it was written from."""
    script = array("found", items) + "\nprintf '%s\\0' ${#found[@]} \"${found[@]}\"\n"
    printed = said(("bash",), script, locale)
    assert (str(len(items)), items or [""]) == (printed[0], printed[1:] or [""])


@given(st.lists(texts, min_size=1, max_size=10))
def test_any_value_survives_as_an_exported_variable(values: list[str]) -> None:
    """A program finds exported variables with exactly the bytes they were declared with."""
    names = [f"v{index}" for index in range(len(values))]
    script = exports(dict(zip(names, values, strict=True))) + "cat /proc/self/environ\n"
    for shell in SHELLS:
        found = dict(item.split("=", 1) for item in said(shell, script))
        assert values == [found[name] for name in names]


@pytest.mark.parametrize("name", ["", "1X", "A-B", "A B", "A=B", "A\n", "é", "A;id", "$X"])
def test_names_that_no_shell_can_set_are_refused(name: str) -> None:
    """A variable whose name would be read as something else is an error, not a command."""
    with pytest.raises(ValueError, match="cannot be the name of an environment variable"):
        exports({name: "x"})


@pytest.mark.parametrize("text", ["", "END", "a\nEND", "END\n", "END\nEND_", "ENDE", "\n\nEND\n\n"])
def test_the_mark_of_a_here_document_is_never_a_line_of_its_text(text: str) -> None:
    """A text that contains the mark gets another one."""
    opening, body = heredoc(text, "END")
    mark = opening.removeprefix("<<'").removesuffix("'")
    assert f"{text}\n{mark}\n" == body
    assert mark not in text.split("\n")


@given(st.lists(texts, min_size=1, max_size=4), st.sampled_from(LOCALES))
@example(["END\n$(id)\nEND", "\\", "\r", "E\x80"], "C.UTF-8")
def test_any_text_survives_in_a_here_document(items: list[str], locale: str) -> None:
    """A quoted here-document of bash hands its text over verbatim, with one newline more."""
    documents = (heredoc(text, "END") for text in items)
    script = "".join(f"cat {opening}\n{body}printf '\\0'\n" for opening, body in documents)
    assert [text + "\n" for text in items] == said(("bash",), script, locale)


@pytest.mark.parametrize(
    ("items", "text"),
    [([], "a=()"), (["x"], "a=(x)"), (["x", "y z"], "a=(\n  x\n  'y z'\n)")],
)
def test_arrays_are_written_one_item_a_line(items: list[str], text: str) -> None:
    """Long command lines can be read in a script: one word a line, but short ones on one."""
    assert text == array("a", items)
