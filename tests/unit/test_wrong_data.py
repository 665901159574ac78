"""Wrong entries of ``group_data/<stack>.py``: they are rejected, or arrive unchanged."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.unit import wrong_inputs
from tests.unit.test_templates import ROOT, data, group_data
from tests.unit.wrong_inputs import misses
from tests.unit.wrong_outcomes import (
    DEFAULTS,
    STACKS,
    VALUES,
    assert_sentence,
    difference,
    failures,
    files_of,
    in_lists,
    keys_of,
    outcome,
    render,
    replaced,
    the_one_in,
)
from workstation import environment, quoting, settings, stack_settings, stack_types
from workstation.compose import rules as compose_rules
from workstation.errors import UserError
from workstation.stack import data_key

ENTRIES = [(stack, name) for stack in STACKS for name in data(stack)]


HARMLESS_DATA: dict[str, Any] = {
    "shm_size": "47117mb",
    "fast": "/harmless/fast",
    "bulk": "/harmless/bulk",
    "disks": ["/harmless"],
    "comfy_uid": 47114711,
    "comfy_gid": 47114711,
    "ollama_environment": {"HARMLESS": "harmless"},
    "llm_port": 47117,
    "redis_port": 47117,
    "model_path": "/models/harmless",
    "model_name": "/models/harmless",
    "n_ctx": 47117,
    "n_gpu_layers": 47117,
    "tensor_parallel_size": 47117,
    "gpu_memory_utilization": 0.47117,
    "max_model_len": 47117,
}


@pytest.mark.parametrize(("stack", "name"), ENTRIES)
def test_an_entry_of_a_stacks_data_is_refused_or_arrives_as_it_is(stack: str, name: str):
    """Like a setting."""
    given = settings.load({**DEFAULTS, "gpu": "none"}, STACKS)
    harmless = HARMLESS_DATA.get(name)
    backend = {"llm_backend": "vllm"} if name in VLLM else {}

    def everything(value: Any) -> Any:
        commit = {"worker_commit": "0" * 40} if name == "worker_repository" else {}
        return files_of(render(stack, given, {**backend, **commit, name: value}))

    made = everything(harmless) if harmless is not None else None

    def check(value: Any) -> None:
        found = outcome(lambda: everything(value))
        # No layer on a GPU, so none is requested.
        if found is None or made is None or value in ([], {}, {"a": "b"}) or name == "n_gpu_layers":
            return
        accepted = stack_settings.checked(
            stack, {**data(stack), name: value}, ROOT / "templates/stacks"
        )
        assert (
            difference(found, replaced(made, the_one_in(harmless), the_one_in(accepted[name])))
            == ""
        )

    cases = [*VALUES, *in_lists(harmless), *(f"/models/{text}" for text in wrong_inputs.texts())]
    failures(cases, check)


VLLM = ("model_name", "tensor_parallel_size", "gpu_memory_utilization", "max_model_len")


@pytest.mark.parametrize("service", ["comfyui", "fooocus", "forge", "comfy"])
def test_a_flag_is_refused_or_is_one_more_word(service: str):
    """A word in the command, or in the variable that a script splits; `privileged` does not become
    a key then."""
    stack = "prometheus" if service == "comfy" else "dhoch3"
    given = settings.load({**DEFAULTS, "gpu": "none"}, STACKS)

    def everything(flags: Any) -> Any:
        changed = {"flags": {**data(stack)["flags"], service: flags}}
        return files_of(render(stack, given, changed))

    made = everything(["harmless"])

    def check(flags: Any) -> None:
        found = outcome(lambda: everything(flags))
        if found is None:
            return
        for path, content in made.items():
            before, after = content, found[path]
            if path != "compose.yaml":
                assert difference(after, before) == ""
                continue
            assert keys_of(after) == keys_of(before)
            keys = after["services"][service]
            changed = keys["environment"] if "environment" in keys else {"": keys["command"]}
            old = before["services"][service]
            old = old["environment"] if "environment" in old else {"": old["command"]}
            texts = {name: (old[name], text) for name, text in changed.items() if old[name] != text}
            assert len(texts) <= 1
            for old_text, text in texts.values():
                head = old_text.split("harmless")[0]
                assert text.startswith(head.rstrip())

    cases = [*VALUES, *(["--a", text] for text in TRICKS)]
    if service in ("fooocus", "comfy"):
        cases += [[value] for value in VALUES]
    failures(cases, check)


TRICKS = [
    "a\n    privileged: true",
    "a: b",
    "a #b",
    "$HOME",
    "'; x '",
    "a;b",
    "| x",
    "{a: b}",
    "%i",
]


def test_flags_come_out_of_compose_s_command_as_they_went_in():
    """By a shell's own rules for words, which Compose follows."""
    words = ["--theme", "a b", "$HOME", "it's", 'a"b', "c\\d", "a;b", "#x", "é", "--x=1"]
    written = quoting.command([shlex.quote(word) for word in words])
    assert shlex.split(quoting.interpolated(written, {})) == words


@pytest.mark.parametrize("stack", [stack for stack in STACKS if data(stack)])
def test_a_name_that_is_nearly_an_entrys_is_refused(stack: str):
    """Names of the data itself, of limits and their services, of flags and ports; also a missing
    entry without a default."""
    own = data(stack)
    stated = stack_settings.declared(stack)
    cases: list[dict[str, Any]] = []
    for name in own:
        cases += [{**own, miss: own[name]} for miss in misses(name)]
        if isinstance(one := stated[name], stack_settings.Declared) and one.is_required:
            cases.append({key: value for key, value in own.items() if key != name})
        if isinstance(own[name], dict):
            for key in own[name]:
                cases += [
                    {**own, name: {**own[name], miss: own[name][key]}} for miss in misses(key)
                ]
    for key in ("pids_limit", "mem_limit", "cpus"):
        cases += [
            {**own, "limits": {**own["limits"], "default": {miss: 1}}} for miss in misses(key)
        ]
    for key in (
        "privileged",
        "cap_add",
        "image",
        "command",
        "volumes",
        "network_mode",
        "user",
        "pid",
    ):
        cases.append({**own, "limits": {**own["limits"], "default": {key: True}}})

    def check(case: dict[str, Any]) -> None:
        with pytest.raises(UserError) as caught:
            stack_settings.checked(stack, case, ROOT / "templates/stacks")
        assert_sentence(str(caught.value))

    # A program's variable may have any name.
    failures(
        [case for case in cases if "ollama_environmen" not in str(set(case) ^ set(own))], check
    )


LIMITS = ("pids_limit", "mem_limit", "cpus", "cpuset", "oom_score_adj", "shm_size", "ulimits")


@pytest.mark.parametrize("key", [*LIMITS, *stack_types.Limits.model_fields])
def test_a_limit_is_refused_or_stands_in_the_file(key: str):
    """In one service, and nothing else changes."""
    given = settings.load(DEFAULTS, STACKS)
    own = data("prometheus")
    before = files_of(render("prometheus", given))["compose.yaml"]["services"]["openwebui"]

    def check(value: Any) -> None:
        limits = {**own["limits"], "openwebui": {key: value}}
        found = outcome(lambda: files_of(render("prometheus", given, {"limits": limits})))
        if found is not None:
            keys = found["compose.yaml"]["services"]["openwebui"]
            assert keys == {**before, key: keys[key]}
            assert keys[key] == value or str(keys[key]) == str(value)

    failures(VALUES, check)


@pytest.mark.parametrize(
    "value", [0, -1, 65536, 70000, "abc", "0:1", "80/tcp", None, True, 1.5, [80]]
)
def test_a_port_is_a_number_that_there_is(value: Any):
    """In a stack's data, and in a Compose file."""
    own = data("prometheus")
    with pytest.raises(UserError):
        stack_settings.checked(
            "prometheus",
            {**own, "ports": {**own["ports"], "comfy": value}},
            ROOT / "templates/stacks",
        )
    if value not in ("80/tcp",):
        assert compose_rules.port_problem({"target": value})
        assert compose_rules.port_problem(value)


GROUP_DATA = {
    "nothing": "",
    "None": "dhoch3 = None",
    "text": "dhoch3 = 'x'",
    "a list": "dhoch3 = []",
    "another name": "dhoch = {}",
    "numbers as names": "dhoch3 = {1: 2}",
    "a division by zero": "1 / 0",
    "a syntax error": "dhoch3 = {",
    "an unknown name": "dhoch3 = nope",
    "an import": "import nope",
    "the end": "exit(0)",
    "another end": "raise SystemExit",
    "an interruption": "raise Exception('a\\nb')",
    "a class": "class dhoch3: pass",
    "recursion": "def f(): return f()\ndhoch3 = f()",
    "brackets": "dhoch3 = " + "(" * 400 + ")" * 400,
    "a tab": "if 1:\n\tx = 1\n        y = 2",
    "a name twice": "dhoch3 = {'shm_size': '8gb', 'shm_size': '9gb'}",
    "a name of nobody's": "dhoch3 = {'shm_size': '8gb'}\nssh_prot = 22",
    "data of another stack": "dhoch3 = {}\nprometheus = {}",
    "a password": "dhoch3 = {}\nsmb_password = 'Geheim-9x'",
    "a stack's password": "dhoch3 = {}\nredis_password = 'Geheim-9x'",
}


@pytest.mark.parametrize("case", GROUP_DATA)
def test_a_file_of_group_data_is_refused_with_its_line(case: str, tmp_path: Path):
    """No matter what Python makes of it."""
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data/dhoch3.py").write_text(GROUP_DATA[case] + "\n")
    with pytest.raises(UserError) as caught:
        environment.read({"WORKSTATION_HOST": "gpu1"}, tmp_path, ["dhoch3", "prometheus"])
    assert_sentence(str(caught.value))
    assert "group_data/dhoch3.py" in str(caught.value)


def test_data_of_a_stack_in_all_py_would_have_no_effect(tmp_path: Path):
    """The stack's own file would replace them."""
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data/all.py").write_text("# mine\ndhoch3 = {'shm_size': '1gb'}\n")
    with pytest.raises(UserError) as caught:
        environment.read({"WORKSTATION_HOST": "gpu1"}, tmp_path, ["dhoch3"])
    assert str(caught.value) == (
        f"{tmp_path}/group_data/all.py line 2: dhoch3 has no effect here: set it in "
        "group_data/dhoch3.py."
    )


def test_a_password_that_a_program_returns_is_not_in_version_control(tmp_path: Path):
    """It may stand in group_data/, as text may not."""
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data/all.py").write_text(
        "from pydantic import SecretStr\nsmb_password = SecretStr('x')\n"
    )
    environment.read({"WORKSTATION_HOST": "gpu1"}, tmp_path, ["dhoch3"])


def test_what_people_have_is_still_taken():
    """Shipped data with the values that its comments offer, and forms that Docker accepts."""
    given = settings.load({**DEFAULTS, "models_path": "/srv/models", "smb_options": "seal"}, STACKS)
    limits = {"default": {"pids_limit": -1, "cpus": "1.5"}, "comfyui": {"mem_limit": "64G"}}
    limits["forge"] = {"mem_limit": 2**33, "memswap_limit": -1, "ulimits": {"nofile": 1024}}
    flags = {**data("dhoch3")["flags"], "forge": ["--theme dark", "--reserve 2", 3]}
    found = render("dhoch3", given, {"limits": limits, "flags": flags, "shm_size": "8G"})
    assert found.model.services[2].keys["command"].rstrip().endswith("--theme dark --reserve 2 3")
    render("prometheus", given, {"fast": "/mnt/my disk/ai", "bulk": "/mnt/ssd$1/ai"})
    render("knowledge-center", given, {"model_path": "/models/My Model ($5).gguf", "n_ctx": 0})


def test_a_path_with_a_dollar_and_blanks_is_one_mount():
    """Compose gets two dollars, our own checks see one."""
    given = settings.load(DEFAULTS, STACKS)
    found = render("prometheus", given, {"fast": "/mnt/a b,c: {d} $HOME #e"})
    comfy = next(one for one in found.model.services if one.name == "comfy")
    assert comfy.mounts[0].source == "/mnt/a b,c: {d} $HOME #e/services/comfy-mnt"
    assert comfy.mounts[0].source in comfy.owners
    assert "$$HOME" in found.compose


def test_a_setting_of_a_stack_has_its_default_beside_its_meaning_or_is_set_in_group_data():
    """Never both, and each default is a value that a user could have written."""
    for stack in STACKS[:-1]:
        stated = stack_settings.declared(stack)
        entries = [name for name in stated if name not in settings.SECRETS]
        assert sorted(entries) == sorted(data(stack))
        required = {
            name
            for name, one in stated.items()
            if isinstance(one, stack_settings.Declared) and one.is_required
        } - settings.SECRETS
        assert required == set(group_data(stack)[data_key(stack)])
        stack_settings.checked(stack, data(stack), ROOT / "templates/stacks")


def test_what_is_set_for_one_service_leaves_the_defaults_of_the_others():
    """The same is true of one of several ports; any other entry replaces its default."""
    given = {"limits": {"forge": {"cpus": 4}}, "flags": {"forge": []}}
    found = stack_settings.checked("dhoch3", given, ROOT / "templates/stacks")
    own = data("dhoch3")
    assert found == {
        **own,
        "limits": {**own["limits"], "forge": {"cpus": 4}},
        "flags": {**own["flags"], "forge": []},
    }
    own = data("prometheus")
    given = {**own, "ports": {"comfy": 1}, "ollama_environment": {"OLLAMA_DEBUG": "1"}}
    found = stack_settings.checked("prometheus", given, ROOT / "templates/stacks")
    assert found["ports"] == {**own["ports"], "comfy": 1}
    assert found["ollama_environment"] == {"OLLAMA_DEBUG": "1"}


DECLARATIONS = {
    "a: port": "a is 'port': expected a mapping with type, meaning and default",
    "a: {type: prt, meaning: b}": "prt is not a type (did you mean port?): choose from text",
    "a: {type: port, meaningg: b}": "a has no meaning: add it",
    "a: {type: port, meaning: b, defualt: 1}": "a has defualt, which is unknown (did you",
    "a: {meaning: b, default: 1}": "a has no type: add it",
    "a: {b: {type: port}}": "a.b has no meaning: add it",
    "a: {type: port, meaning: 5}": "a.meaning is 5: expected",
    "a: {type: secret, meaning: b, default: c}": "a is a secret with a default: remove the default",
    "a: {b: {type: secret, meaning: c}}": "a.b is a secret below another name: put it at the top",
    "a: {}": "a has no type: add it",
    "a: {type: port, meaning: b, default: abc}": "the default of a is 'abc', expected a valid",
    "a: {type: text, meaning: b, default: no}": "the default of a is False, expected a valid",
    "a: {type: text, meaning: b, default: c, one_of: [d]}": "the default of a is 'c', expected one",
    "limits: {type: limits, meaning: b, default: {default: {cpus: x}}}": (
        "the default of limits is 'x', expected a number of processors"
    ),
    "größe: {type: text, meaning: b}": (
        "'größe' (with LATIN SMALL LETTER O WITH DIAERESIS) cannot be the name of a setting"
    ),
    **{
        f"{name}: {{type: text, meaning: b}}": f"'{name}' cannot be the name of a setting"
        for name in ("API_KEY", "api-key", "_token", "1x", "keys", "items", "a b", "a.b")
    },
}


@pytest.mark.parametrize("text", DECLARATIONS)
def test_a_setting_that_a_stack_states_wrongly_is_refused_with_its_line(text: str, tmp_path: Path):
    """With the closest valid key or type."""
    (tmp_path / "made-up").mkdir()
    (tmp_path / "made-up/_data.yml").write_text(f"# settings\n{text}\n")
    with pytest.raises(UserError) as caught:
        stack_settings.declared("made-up", tmp_path)
    assert_sentence(str(caught.value))
    assert f"_data.yml line 2: {DECLARATIONS[text]}" in str(caught.value)


TAKEN = [
    "domain",
    "smb_password",
    "stacks",
    "workstation_host",
    "env_file",
    "ssh_key",
    "model_dump",
]


@pytest.mark.parametrize("name", [*TAKEN, "require", "copy"])
def test_a_secret_of_a_stack_does_not_replace_what_every_host_has(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    """A setting would lose its checks, and a key in .env would mean two things."""
    monkeypatch.setattr(settings, "_STACK_SECRETS", {name: "made-up"})
    with pytest.raises(UserError, match=f"The secret {name} in .*made-up/_data.yml") as caught:
        settings._secret_fields()
    assert_sentence(str(caught.value))


def test_a_secret_of_a_stack_stands_in_env_alone():
    """group_data/ is under version control."""
    assert stack_settings.secrets()["redis_password"] == "knowledge-center"
    given = {**data("knowledge-center"), "redis_password": "geheim"}
    with pytest.raises(UserError, match="redis_password in group_data/knowledge-center") as caught:
        stack_settings.checked("knowledge-center", given, ROOT / "templates/stacks")
    assert "set REDIS_PASSWORD in .env" in str(caught.value)
    assert "geheim" not in str(caught.value)
