"""Values never break out of their place: every form of file, and every template."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from jinja2 import nodes

from tests.unit import wrong_inputs
from tests.unit.test_templates import ROOT
from workstation import quoting
from workstation.quoting import FILTERS, QuotingError
from workstation.render import template
from workstation.yaml_file import ComposeLoader

TEMPLATES = sorted(
    path for path in (ROOT / "templates").rglob("*.j2") if path.parent.name != "report"
)
# Their results consist of pins, hashes and names of folders, all of which are checked.
MADE = ("image", "built", "source", "digest", "fail")
TEXTS = [text for text in wrong_inputs.texts() if len(text) < 1000]


def unquoted(text: str) -> list[str]:
    """The expressions of a template that insert a value without a filter."""
    tree = jinja2.Environment().parse(text)
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    for imported in tree.find_all(nodes.FromImport):
        macros |= {name if isinstance(name, str) else name[1] for name in imported.names}

    def safe(node: nodes.Node | None) -> bool:
        if node is None or isinstance(node, nodes.TemplateData | nodes.Const):
            return True
        if isinstance(node, nodes.CondExpr):
            return safe(node.expr1) and safe(node.expr2)
        if isinstance(node, nodes.Call):
            return isinstance(node.node, nodes.Name) and node.node.name in {*macros, *MADE}
        if isinstance(node, nodes.Filter) and node.name == "join":
            each = node.node
            return (
                isinstance(each, nodes.Filter)
                and each.name == "map"
                and isinstance(each.args[0], nodes.Const)
                and each.args[0].value in FILTERS
            )
        if isinstance(node, nodes.Filter):
            return node.name in FILTERS or (node.name == "indent" and safe(node.node))
        return False

    return [
        f"line {node.lineno}: {node}"
        for output in tree.find_all(nodes.Output)
        for node in output.nodes
        if not safe(node)
    ]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_puts_a_value_in_without_a_filter_of_its_form(path: Path):
    """Whatever a setting may contain one day, the structure of the file stays."""
    assert unquoted(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "{{ settings.domain }}",
        "{{ stack.flags.x | join(' ') }}",
        "{{ settings.domain | tojson }}",
        "{{ settings.domain | compose | upper }}",
        "{{ settings.domain | indent(4) }}",
        "{{ 'a' if x else settings.domain }}",
        "{{ 'Host(' ~ settings.domain ~ ')' }}",
        "{{ mirror.url('https://a') }}",
        "{% macro a(x) %}{{ x }}{% endmacro %}{{ a(settings.domain) }}",
        "{{ stack.disks | map('string') | join(',') }}",
    ],
)
def test_a_value_without_one_would_be_found(text: str):
    """The test above can fail."""
    assert unquoted(text)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text_is_that_text_in_yaml(text: str):
    """Alone, in a list and in a mapping, as value and as key; for Compose and for PyYAML."""
    if re.search("[\ud800-\udfff]", text):
        with pytest.raises(QuotingError):
            quoting.yaml(text)
        return
    written = quoting.yaml(text)
    assert "\n" not in written
    for loader in (yaml.SafeLoader, ComposeLoader):
        file = f"a: {written}\nb: [x, {written}]\nc: {{{written}: {written}, y: z}}\n"
        found = yaml.load(file, loader)
        assert found == {"a": text, "b": ["x", text], "c": {text: text, "y": "z"}}
    found = yaml.load(f"a: {quoting.compose(text)}", ComposeLoader)
    assert quoting.interpolated(found, {}) == {"a": text}


@pytest.mark.parametrize(
    "value", [None, True, False, 0, -1, 1.5, 1e300, 10**18, [], {}, ["a", {"b": [1]}], {"$a": "$b"}]
)
def test_other_values_keep_their_types_in_yaml(value: Any):
    """A dollar in a key stays single: Compose only looks for variables in values."""
    assert yaml.safe_load(quoting.yaml(value)) == value
    found = yaml.load(f"a: {quoting.compose(value)}", ComposeLoader)["a"]
    assert quoting.interpolated(found, {}) == value


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("/vol/models", "/vol/models"),
        ("proxy", "proxy"),
        ("8gb", "8gb"),
        ("948e97df1947", "948e97df1947"),
        ("Host(`a.b`)", "Host(`a.b`)"),
        ("1024", '"1024"'),
        ("123456789012", '"123456789012"'),
        ("12e345678901", '"12e345678901"'),
        ("80:80", '"80:80"'),
        ("no", '"no"'),
    ],
)
def test_only_what_must_have_quotes_gets_them(text: str, written: str):
    """A file looks as if a person had written it; a hash that only consists of digits must not
    become a number."""
    assert quoting.yaml(text) == written


def test_a_block_of_text_has_no_variables_and_no_second_line():
    """The same is true of characters that some programs treat as a line break."""
    assert quoting.compose_text("a $b: {c} #d") == "a $$b: {c} #d"
    for character in "\n\r\t\0\x85\u2028":
        with pytest.raises(QuotingError):
            quoting.compose_text(f"a{character}b")


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_flags_are_the_words_that_a_shell_takes_them_for(text: str):
    """Compose splits a command like a shell does."""
    try:
        words = shlex.split(text)
        written = quoting.command(["--first", text])
    except (ValueError, QuotingError):
        return
    assert shlex.split(quoting.interpolated(written, {})) == ["--first", *words]
    # Characters that end a command for Compose's parser are quoted.
    assert not re.search(r"(?<!\S)[;|&<>(]", written)


@pytest.mark.parametrize("text", ["a;b", "$X", "`id`", "a*", "'a'", "a\\b", "(", "a\nb", "~{x}"])
def test_flags_for_a_variable_are_plain_words(text: str):
    """A script splits them on spaces, without support for quotes."""
    assert quoting.plain_words(["--a", "b c", 1]) == "--a b c 1"
    with pytest.raises(QuotingError):
        quoting.plain_words(["--a", text])


@pytest.mark.parametrize("text", ["", "a b", "a'b", "-x", "x:", "a$b", "a%b", "a\nb", "é", "[a]"])
def test_a_word_is_refused_where_it_would_have_to_be_quoted(text: str):
    """In a Dockerfile, a shell or a unit."""
    with pytest.raises(QuotingError):
        quoting.word(text)


@pytest.mark.parametrize("value", ["1", None, True, float("nan"), float("inf"), [], "a"])
def test_a_number_is_a_number(value: Any):
    """Text that only looks like a number is rejected."""
    with pytest.raises(QuotingError):
        quoting.number(value)
    assert (quoting.number(8080), quoting.number(0.9)) == ("8080", "0.9")


UNIT = [
    *(text for text in TEXTS if text.isprintable()),
    *('a\\" b', "\\\\", "%%h", "$$X", "a\\x41", "\\n", '"', "''", "a\\", "ends with \\\\"),
]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_itself_reads_what_was_meant(tmp_path: Path):
    """All in one unit: systemd prints the environment that it would set."""
    variables = {f"V{number}": text for number, text in enumerate(UNIT)}
    text = template("ollama/drop-in.conf.j2", models="/vol/%h", port=1, environment=variables)
    unit = tmp_path / "t.service"
    unit.write_text(f"{text}ExecStart=/bin/true\n")
    ran = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(tmp_path),
            "SYSTEMD_LOG_TARGET": "console",
            "SYSTEMD_LOG_LEVEL": "debug",
            "SYSTEMD_UNIT_PATH": str(tmp_path),
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=60,
    )
    told = ran.stdout + ran.stderr
    found = dict(re.findall(r"^\s*Environment: (V\d+)=(.*)$", told, re.MULTILINE))
    assert found, told[-2000:]
    assert found == variables


def test_our_own_reading_of_units_is_systemds():
    """The other tests rely on it."""
    for value in UNIT:
        written = f'Environment="A={quoting.unit_text(value)}"'
        assert wrong_unit(written) == ("Environment", f"A={value}")
        assert wrong_unit(f'ExecStart=/bin/x "{quoting.exec_text(value)}"')[0] == "ExecStart"


def wrong_unit(line: str) -> tuple[str, str]:
    from tests.unit.wrong_outcomes import unit

    (found,) = unit(line)
    return found


def test_a_variable_comes_from_the_stacks_own_env_or_has_a_default():
    """Otherwise it would be empty, or have any value from the environment."""
    variables = {"A": "x", "E": ""}
    for text, expected in (
        ("$A", "x"),
        ("${A}b", "xb"),
        ("$$A", "$A"),
        ("$$$A", "$x"),
        ("${E:-y}", "y"),
        ("${E-y}", ""),
        ("${N:-y}", "y"),
        ("${N-}", ""),
    ):
        assert quoting.interpolated(text, variables) == expected
    for text in ("$N", "${N}", "$", "a $ b", "${", "${A", "$1", "${A:?no}", "$(id)", "${1}"):
        with pytest.raises(QuotingError):
            quoting.interpolated([{"a": text}], variables)
