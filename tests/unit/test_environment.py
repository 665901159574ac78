""".env and the environment: unusual files, precedence, and the target host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workstation import environment
from workstation.env_file import EnvironmentFileError
from workstation.environment import CONNECTION_KEYS, Environment
from workstation.errors import UserError

ROOT = Path(__file__).parents[2]
STACKS = ["dhoch3", "prometheus"]


def read(folder: Path, text: str | bytes | None = None, **variables: str) -> Environment:
    if text is not None:
        content = text.encode() if isinstance(text, str) else text
        (folder / ".env").write_bytes(content)
    return environment.read(variables, folder, STACKS)


def refusal(folder: Path, text: str | bytes | None = None, **variables: str) -> str:
    with pytest.raises(EnvironmentFileError) as caught:
        read(folder, text, **variables)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", ")."))
    return message


def password(folder: Path, line: str) -> str:
    value = read(folder, f"SMB_PASSWORD={line}\n").settings["smb_password"]
    assert isinstance(value, environment.Secret)
    return value.get_secret_value()


def test_without_env_file_and_host_the_sentence_tells_to_copy_the_example(tmp_path: Path):
    """A fresh clone needs one more command."""
    assert "cp .env.example .env" in refusal(tmp_path)


def test_the_environment_alone_is_enough(tmp_path: Path):
    """There is no .env if the caller sets everything, as in a pipeline."""
    read_back = read(tmp_path, WORKSTATION_HOST="gpu1", SSH_PORT="2222", DOMAIN="localhost")
    assert read_back.host == "gpu1"
    assert read_back.host_data() == {"ssh_port": 2222, "domain": "localhost"}


def test_the_environment_wins_over_the_file(tmp_path: Path):
    """A value can be overridden for a single run, also with an empty one."""
    text = "DOMAIN=design-hoch-drei.de\nGPU=none\nSMB_DOMAIN=OFFICE\n"
    given = read(tmp_path, text, DOMAIN="localhost", SMB_DOMAIN="", HOME="/root").settings
    assert given == {"domain": "localhost", "gpu": "none", "smb_domain": ""}


def test_env_file_names_another_file(tmp_path: Path):
    """Each machine can have its own file."""
    other = tmp_path / "gpu2.env"
    other.write_text("WORKSTATION_HOST=gpu2\n")
    assert read(tmp_path, "WORKSTATION_HOST=gpu1\n", ENV_FILE=str(other)).host == "gpu2"
    message = refusal(tmp_path, ENV_FILE=str(tmp_path / "gone"), WORKSTATION_HOST="gpu1")
    assert message.startswith("ENV_FILE points to ")
    assert message.endswith("gone, which does not exist: correct or unset it.")


def test_this_machine_is_the_default_host(tmp_path: Path):
    """SSH is not used then."""
    given = read(tmp_path, "SSH_USER=root\nSSH_PORT=22\n")
    assert (given.host, given.is_local, given.connection) == ("@local", True, {})


def test_ssh_keys_become_pyinfras_data(tmp_path: Path):
    """They have the types that pyinfra needs, with ~ expanded; empty ones are left to
    ~/.ssh/config."""
    key = tmp_path / "key"
    key.touch()
    text = f"WORKSTATION_HOST=gpu1\nSSH_USER=ai\nSSH_PORT=2222\nSSH_KEY={key}\nSSH_KNOWN_HOSTS=\n"
    assert read(tmp_path, text).connection == {
        "ssh_user": "ai",
        "ssh_port": 2222,
        "ssh_key": str(key),
    }


@pytest.mark.parametrize(
    ("stacks", "expected"),
    [
        (["all"], "needs the name all, which belongs to pyinfra: rename its folder"),
        (["inventory", "one"], "needs the name inventory, which belongs to pyinfra"),
        (["ssh_x"], "needs the name ssh_x, which belongs to pyinfra"),
        (["smb-user"], "needs the name smb_user, which belongs to a setting"),
        (["a-b", "a_b"], "templates/stacks/a_b needs the name a_b, which belongs to the stack a-b"),
    ],
)
def test_a_stack_has_a_name_of_its_own(tmp_path: Path, stacks: list[str], expected: str):
    """Or its hosts, or their data, would be those of something else: pyinfra puts every host into
    the groups `all` and `inventory`."""
    with pytest.raises(UserError) as caught:
        environment.read({"WORKSTATION_HOST": "gpu1"}, tmp_path, stacks)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("stacks", "key", "owner"),
    [
        ({"ollama": "port"}, "OLLAMA_PORT", "the setting ollama_port"),
        ({"ssh": "key"}, "SSH_KEY", "the connection"),
        ({"a": "b_c", "a-b": "c"}, "A_B_C", "b_c of the stack a"),
    ],
)
def test_a_key_in_env_means_one_thing(tmp_path: Path, stacks: dict[str, str], key: str, owner: str):
    """One line would set both."""
    for stack, name in stacks.items():
        folder = tmp_path / "templates/stacks" / stack
        folder.mkdir(parents=True)
        (folder / "_data.yml").write_text(f"{name}: {{type: text, meaning: b, default: c}}\n")
    with pytest.raises(UserError) as caught:
        environment.read({"WORKSTATION_HOST": "gpu1", key: "x"}, tmp_path, stacks)
    assert f"would have the key {key} in .env, which belongs to {owner}:" in str(caught.value)


def test_two_stacks_of_one_host_do_not_set_it_differently(tmp_path: Path):
    """pyinfra would take one of the two; .env decides."""
    (tmp_path / "group_data").mkdir()
    for stack in ("one", "two"):
        (tmp_path / f"group_data/{stack}.py").write_text(
            f"{stack} = {{}}\nmodels_path = '/vol/{stack}'\nservice_uid = 2000\n"
        )
    given = {"WORKSTATION_HOST": "gpu1", "STACKS": "one,two"}
    with pytest.raises(UserError) as caught:
        environment.read(given, tmp_path, ["one", "two"])
    assert str(caught.value).startswith(
        "models_path differs between group_data/one.py and group_data/two.py"
    )
    environment.read({**given, "STACKS": "two"}, tmp_path, ["one", "two"])
    environment.read({**given, "MODELS_PATH": "/vol"}, tmp_path, ["one", "two"])


def test_a_folder_without_a_compose_file_is_not_called_missing(tmp_path: Path):
    """Its file may have another name."""
    (tmp_path / "templates/stacks/mine").mkdir(parents=True)
    (tmp_path / "templates/stacks/mine/compose.yml").write_text("name: mine\n")
    with pytest.raises(UserError, match=r"mine', but its folder .* no compose\.yaml\.j2: add it"):
        environment.read({"WORKSTATION_HOST": "a", "STACKS": "mine"}, tmp_path, ["one"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WORKSTATION_HOST=\n", "expected one host name"),
        ("WORKSTATION_HOST=root@gpu1\n", "SSH_USER"),
        ("WORKSTATION_HOST=gpu1,gpu2\n", "expected one host name"),
        ("WORKSTATION_HOST=gpu1\nSSH_PORT=70000\n", "from 1 to 65535"),
        ("WORKSTATION_HOST=gpu1\nSSH_PORT=ssh\n", "from 1 to 65535"),
        ("WORKSTATION_HOST=gpu1\nSSH_KEY=/nowhere/key\n", "but there is no such file"),
        ("STACKS=dhoch\n", "(did you mean dhoch3?): choose from dhoch3, prometheus"),
        ("STACKS=,\n", "STACKS names no stack"),
        ("STACKS=My Stack\n", "in lowercase letters"),
        ("WORKSTATION_HOST=gpu1:22\n", "SSH_PORT"),
        ("WORKSTATION_HOST=gpu1\nSSH_USER=a b\n", "expected one user name"),
        ("WORKSTATION_HOST=gpu1\nSSH_PORT=２２\n", "from 1 to 65535"),
    ],
)
def test_an_impossible_target_is_one_sentence(tmp_path: Path, text: str, expected: str):
    """It names the key and the possible values."""
    assert expected in refusal(tmp_path, text)


def test_stacks_are_named_once_each_in_order(tmp_path: Path):
    """Spaces and repetitions do no harm; without a line, the default is the requested one, or
    all."""
    assert read(tmp_path, "STACKS=prometheus, dhoch3,prometheus\n").stacks == (
        "prometheus",
        "dhoch3",
    )
    assert read(tmp_path, "DOMAIN=a.example\n").stacks == ("dhoch3", "prometheus")
    without = environment.read({}, tmp_path, ["dhoch3", "prometheus"], default="dhoch3")
    assert without.stacks == ("dhoch3",)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("geheim", "geheim"),
        ("pa#ss", "pa#ss"),
        ("#pass", "#pass"),
        ("$HOME${X}`id`", "$HOME${X}`id`"),
        ("pa,ss%1\\2=3", "pa,ss%1\\2=3"),
        ("pässwörd€", "pässwörd€"),
        ("'pa ss # word'", "pa ss # word"),
        ("' pass '", " pass "),
        ("'a\"b'", 'a"b'),
        (r"'a\'b'", "a'b"),
        ('"a\'b # c$d"', "a'b # c$d"),
        ("''", ""),
        ("'geheim'   # the share's", "geheim"),
    ],
)
def test_a_password_survives_the_file(tmp_path: Path, line: str, expected: str):
    """Nothing is interpolated; single quotes preserve everything except themselves."""
    assert password(tmp_path, line) == expected


@pytest.mark.parametrize("line", ["geheim # the share's", "= #geheim"])
def test_a_password_cut_by_a_comment_is_refused(tmp_path: Path, line: str):
    """The server would only report half a password as wrong."""
    line = line.removeprefix("=")
    message = refusal(tmp_path, f"DOMAIN=a.de # fine here\nSMB_PASSWORD={line}\n")
    assert "line 2" in message
    assert "single quotes" in message
    assert "geheim" not in message


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("# first\n\nGPU=none\nSMB_PASSWORD geheim\n", 4, "KEY=value"),
        ("SMB_PASSWORD\n", 1, "has no '='"),
        ("GPU=none\r\n\r\nDOMAIN\r\n", 3, "has no '='"),
        ("GPU=none\nDOMAIN=a.de\nGPU=none\n", 3, "sets GPU again"),
        ("SMB_PASSWORD='geheim\n", 1, "has an unclosed quote"),
        ("SMB_PASSWORD='ge'heim'\n", 1, "has an unclosed quote"),
        ("SMB_PASSWORD='geheim\nDOMAIN='\n", 1, "close its quotes"),
        ("SMB_PASSWORD=\ngeheim\n", 2, "has no '='"),
        ("GPU=none\nSMB_PASSWORD='geheim\nDOMAIN=a\nX='\n", 2, "a line break"),
        ('SMB_PASSWORD="ge\\bheim"\n', 1, "single quotes"),
        ("=geheim\n", 1, "KEY=value"),
        ("GPU=none\nMODEL_PATH=/models\n", 2, "did you mean MODELS_PATH?"),
        ("domain=a.de\n", 1, "did you mean DOMAIN?"),
        ("XYZZY=geheim\n", 1, "docs/settings.md lists all keys"),
        ("OLLAMA_ENVIRONMENT=A=1\n", 1, "set ollama_environment in group_data/all.py"),
    ],
)
def test_an_odd_line_is_one_sentence_with_its_number(
    tmp_path: Path, text: str, line: int, expected: str
):
    """The line itself is not shown, because it may contain the password."""
    message = refusal(tmp_path, text)
    assert f"{tmp_path / '.env'} line {line}" in message
    assert expected in message
    assert "geheim" not in message


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path):
    """Editors on other systems write both."""
    given = read(tmp_path, b"\xef\xbb\xbfGPU=none\r\nexport DOMAIN = a.de\r\n")
    assert given.settings == {"gpu": "none", "domain": "a.de"}


def test_a_file_in_another_encoding_is_refused_with_its_line(tmp_path: Path):
    """Otherwise a Latin-1 umlaut would change the password."""
    message = refusal(tmp_path, "GPU=none\nSMB_PASSWORD=pässword\n".encode("latin-1"))
    assert "line 2 is not UTF-8" in message


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """For example, if .env belongs to root."""

    def deny(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / ".env").touch()
    monkeypatch.setattr(Path, "read_bytes", deny)
    assert refusal(tmp_path).endswith(".env cannot be read: Permission denied.")


def test_nothing_is_put_into_the_environment(tmp_path: Path):
    """Every child process would inherit the password."""
    before = dict(os.environ)
    password(tmp_path, "geheim")
    assert dict(os.environ) == before


def test_a_secret_is_masked_in_whatever_pyinfra_prints(tmp_path: Path):
    """debug-inventory prints host data as JSON, --debug its repr."""
    data = read(tmp_path, "SMB_PASSWORD=geheim\n").host_data()
    secret = data["smb_password"]
    assert isinstance(secret, environment.Secret)
    assert "geheim" not in f"{data} {secret} {secret.to_json()}"


def test_the_example_is_complete_and_loads(tmp_path: Path):
    """Each line, including those commented out, is a known key, and no key of the connection is
    missing."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    entries = [line.lstrip("#") for line in lines if line.lstrip("#")[:1].isupper()]
    entries = [line for line in entries if "=" in line and " " not in line]
    (tmp_path / "all.env").write_text("\n".join(entries))
    keys = set(environment.read_file(tmp_path / "all.env"))
    requirement = {"SMB_SERVER", "SMB_SHARE", "SMB_USER", "SMB_PASSWORD", "MODELS_PATH", "DOMAIN"}
    requirement |= {"REDIS_PASSWORD", "AI_TOOLKIT_AUTH", "LOGIN_USER", "LOGIN_PASSWORD"}
    requirement |= {"DOCKGE_PASSWORD", "OPENWEBUI_PASSWORD", "IMAGEN_API_KEY"}
    requirement |= {"HF_TOKEN", "LLM_API_KEY", "NGC_API_KEY"}
    assert keys == {*CONNECTION_KEYS, *requirement}
    environment.read_file(ROOT / ".env.example")


def test_stacks_are_the_folders_that_hold_a_compose_template(tmp_path: Path):
    """Macros and stray files are not stacks; the proxy depends on a setting."""
    for name in ("one", "proxy"):
        (tmp_path / "templates/stacks" / name).mkdir(parents=True)
        (tmp_path / "templates/stacks" / name / "compose.yaml.j2").touch()
    (tmp_path / "templates/stacks/macros.j2").touch()
    assert environment.known_stacks(tmp_path) == ["one"]


class TestDataOfStacks:
    """Entries of group_data/<stack>.py that .env overrides."""

    DATA = 'other_stack = {"size": 4, "share": 0.5, "on": True, "name": "a", "flags": {"x": []}}\n'

    def read(self, folder: Path, text: str, **variables: str) -> Environment:
        (folder / "group_data").mkdir()
        (folder / "group_data/other-stack.py").write_text(self.DATA)
        (folder / ".env").write_text(text)
        return environment.read(variables, folder, ["dhoch3", "other-stack"])

    def test_an_entry_is_replaced_in_its_own_type(self, tmp_path: Path):
        """Together with the other data, because pyinfra does not merge a host's data with its
        group's."""
        text = "OTHER_STACK_SIZE=8\nOTHER_STACK_SHARE=1\nOTHER_STACK_ON=false\n"
        read_back = self.read(tmp_path, text, OTHER_STACK_NAME="b c")
        expected = {"size": 8, "share": 1.0, "on": False, "name": "b c", "flags": {"x": []}}
        assert read_back.host_data() == {"other_stack": expected}
        assert isinstance(read_back.data["other_stack"]["share"], float)

    def test_data_that_is_not_touched_is_left_to_group_data(self, tmp_path: Path):
        """A host in several groups keeps the data of each."""
        assert self.read(tmp_path, "DOMAIN=example.org\n").host_data() == {"domain": "example.org"}

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("OTHER_STACK_SIZE=much", "OTHER_STACK_SIZE is 'much': expected a whole number"),
            ("OTHER_STACK_SHARE=x", "expected a number, like share in group_data/other-stack.py"),
            ("OTHER_STACK_ON=maybe", "expected true or false"),
            ("OTHER_STACK_SIZES=1", "(did you mean OTHER_STACK_SIZE?)"),
            ("OTHER_STACK_FLAGS=x", "OTHER_STACK_FLAGS has several values"),
        ],
    )
    def test_what_does_not_fit_is_one_sentence(self, tmp_path: Path, line: str, expected: str):
        """Names and types are those in the file."""
        with pytest.raises(EnvironmentFileError) as caught:
            self.read(tmp_path, line + "\n")
        assert expected in str(caught.value)


def test_the_stacks_of_this_repository_have_keys():
    """With the names that docs and .env.example use."""
    stacks = environment.known_stacks(ROOT)
    keys = environment.stack_keys(environment.data_of(ROOT, stacks))
    assert keys["KNOWLEDGE_CENTER_N_CTX"] == environment.Entry("knowledge-center", "n_ctx", 4096)
    assert keys["DHOCH3_SHM_SIZE"].default == "8gb"
    assert not set(keys) & {*CONNECTION_KEYS, *environment.SETTING_KEYS}
