"""Unknown keys and wrong types in `.env`, `group_data/`, `--data` and Compose files: each is
rejected in one sentence, with the closest valid name if there is one.

The modules ``test_wrong_*`` try thousands of generated cases; these tests check the sentences
themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_templates import ROOT, data
from tests.unit.wrong_outcomes import DEFAULTS, STACKS, assert_sentence
from workstation import environment, settings, stack_settings
from workstation.errors import UserError
from workstation.stack import parse

SERVICE = "name: s\nservices:\n  web:\n    image: docker.io/a/b:1\n"


def refusal(ask: Callable[[], Any]) -> str:
    with pytest.raises(UserError) as caught:
        ask()
    assert_sentence(str(caught.value))
    return str(caught.value)


COMPOSE = {
    "    x-workstation: {prob: /x}\n": (
        "services.web.x-workstation.prob is not a key that x-workstation knows (did you mean "
        "probe?)."
    ),
    "    x-workstation: {websockt: /ws}\n": (
        "services.web.x-workstation.websockt is not a key that x-workstation knows (did you "
        "mean websocket?)."
    ),
    "    x-workstation: {probe: 5}\n": (
        "services.web.x-workstation.probe is 5: expected text (put it in quotes)."
    ),
    "    x-workstation: {log: {say: a}}\n": (
        "services.web.x-workstation.log.say is not a key that x-workstation.log knows (did you "
        "mean says?)."
    ),
    "    x-workstation: {models: [{path: /m, format: ggup, setting: a}]}\n": (
        "services.web.x-workstation.models[0].format is 'ggup' (did you mean gguf?): expected "
        "gguf, safetensors, pytorch or diffusers."
    ),
    "    x-workstation: {models: [{path: /m, format: gguf}]}\n": (
        "services.web.x-workstation.models[0] has no setting: add it."
    ),
    "    x-workstation: {models: {path: /m}}\n": (
        "services.web.x-workstation.models is {'path': '/m'}: expected a list of mappings."
    ),
    "    x-workstation: {model: {path: /m, format: gguf, setting: a}}\n": (
        "services.web.x-workstation.model is not a key that x-workstation knows (did you mean "
        "models?)."
    ),
    "    x-workstation: {check: {command: a b, timeout: 9}}\n": (
        "services.web.x-workstation.check.command is 'a b': expected a list of words, such as "
        "[python3, check.py]."
    ),
    "    x-workstation: {check: {command: [''], timeout: 9}}\n": (
        "services.web.x-workstation.check.command is ['']: expected a command that is not empty."
    ),
    "    x-workstation: {check: {command: [a], timeout: 1m}}\n": (
        "services.web.x-workstation.check.timeout is '1m': expected a whole number from 1 to 3600."
    ),
    "    x-workstation: {check: {command: [a]}}\n": (
        "services.web.x-workstation.check has no timeout: add it."
    ),
    "    x-workstation: {gpu_memory: 16gb}\n": (
        "services.web.x-workstation.gpu_memory is '16gb': expected a number of gigabytes."
    ),
    "    x-workstation: {image_gb: much}\n": (
        "services.web.x-workstation.image_gb is 'much': expected a number of gigabytes."
    ),
    "    x-worksttion: {probe: /x}\n": (
        "services.web.x-worksttion is an extension that nothing reads (did you mean "
        "x-workstation?)."
    ),
    "x-workstation: {disks: /mnt}\n": "x-workstation.disks is '/mnt': expected a list of folders.",
    "x-workstation: {disk: [/mnt]}\n": (
        "x-workstation.disk is not a key that x-workstation knows (did you mean disks?)."
    ),
    "x-workstation: {worker: {comit: a}}\n": (
        "x-workstation.worker.comit is not a key that x-workstation.worker knows (did you mean "
        "commit?)."
    ),
    "secrets: {a: {file: ./secrets/a, x-workstation: {ownr: '1:1'}}}\n": (
        "secrets.a.x-workstation.ownr is not a key that x-workstation knows (did you mean owner?)."
    ),
    "secrets: {a: {file: ./secrets/a, x-workstation: {owner: 5}}}\n": (
        "secrets.a.x-workstation.owner is 5: expected text (put it in quotes)."
    ),
}


@pytest.mark.parametrize("text", COMPOSE)
def test_in_a_compose_file(text: str):
    """In a service, in a secret, and at the top level, with the line."""
    said = refusal(lambda: parse(SERVICE + text, "/opt/stacks/s", "compose.yaml.j2", {}))
    assert said == f"compose.yaml.j2 line 5: {COMPOSE[text]}"


def test_a_key_of_a_service_that_comes_twice():
    """YAML libraries keep the last one."""
    text = f"{SERVICE}    image: docker.io/a/b:2\n"
    said = refusal(lambda: parse(text, "/opt/stacks/s", "compose.yaml.j2", {}))
    assert said == "compose.yaml.j2 line 5 sets image again: keep one of the two."


DATA: list[tuple[str, dict[str, Any], str]] = [
    (
        "dhoch3",
        {"limits": {"default": {"privileged": True}}},
        "limits.default.privileged in group_data/dhoch3.py is not a limit in Compose: correct or "
        "remove it.",
    ),
    (
        "dhoch3",
        {"limits": {"default": {"pids_limt": 1}}},
        "limits.default.pids_limt in group_data/dhoch3.py is not a limit in Compose (did you mean "
        "pids_limit?): correct or remove it.",
    ),
    (
        "dhoch3",
        {"limits": {"fooocs": {"cpus": 1}}},
        "limits in group_data/dhoch3.py has fooocs, which is unknown (did you mean fooocus?): "
        "expected ai-toolkit, comfyui, default, dockge, fluxgym, fooocus, forge, invokeai.",
    ),
    (
        "dhoch3",
        {"flags": "--lowvram"},
        "flags in group_data/dhoch3.py is '--lowvram': expected a dictionary with comfyui, "
        "fooocus, forge.",
    ),
    (
        "dhoch3",
        {"flags": {"forge": "--lowvram"}},
        "flags.forge is '--lowvram', expected a valid list: correct it in group_data/dhoch3.py.",
    ),
    (
        "prometheus",
        {"ports": {"comfy": "0:1"}},
        "ports.comfy is '0:1', expected a valid integer: correct it in group_data/prometheus.py.",
    ),
    (
        "prometheus",
        {"ports": {"comfi": 1}},
        "ports in group_data/prometheus.py has comfi, which is unknown (did you mean comfy?): "
        "expected comfy, ollama, openwebui.",
    ),
    (
        "prometheus",
        {"comfy_uid": "root"},
        "comfy_uid is 'root', expected a valid integer: correct it in group_data/prometheus.py, or "
        "PROMETHEUS_COMFY_UID in .env.",
    ),
    (
        "prometheus",
        {"comfy_udi": 1},
        "comfy_udi in group_data/prometheus.py is unknown (did you mean comfy_uid?): correct or "
        "remove it.",
    ),
]


@pytest.mark.parametrize(("stack", "given", "expected"), DATA)
def test_in_a_stacks_data(stack: str, given: dict[str, Any], expected: str):
    """In `group_data/<stack>.py`, or in a dictionary after `--data`."""
    changed = {**data(stack), **given}
    assert refusal(lambda: stack_settings.checked(stack, changed, ROOT / "templates/stacks")) == (
        expected
    )


SETTINGS: list[tuple[dict[str, Any], str]] = [
    (
        {"ssh_prot": 22},
        "ssh_prot is not a pyinfra option (did you mean ssh_port?): correct or remove it in "
        "group_data/ or --data.",
    ),
    (
        {"_sudoo": True},
        "_sudoo is not a pyinfra option (did you mean _sudo?): correct or remove it in "
        "group_data/ or --data.",
    ),
    (
        {"ollama_prot": 1},
        "ollama_prot is not a setting (did you mean ollama_port?): correct or remove it in .env, "
        "group_data/ or --data.",
    ),
    (
        {"ollama_port": "0:1"},
        "ollama_port is '0:1', expected a valid integer: set OLLAMA_PORT in .env or ollama_port in "
        "group_data/all.py.",
    ),
    (
        {"proxy_certresolver": "le", "proxy": "own"},
        "proxy_certresolver is set although proxy is own, whose certificates "
        "come from tls: change one of the two in .env or in group_data/all.py.",
    ),
]


@pytest.mark.parametrize(("given", "expected"), SETTINGS)
def test_in_group_data_and_behind_data(given: dict[str, Any], expected: str):
    """pyinfra passes both as data of the host."""
    assert refusal(lambda: settings.load({**DEFAULTS, **given}, STACKS)) == expected


@pytest.mark.parametrize(("name", "meant"), [("ssh_prot", "ssh_port"), ("_sudoo", "_sudo")])
def test_a_name_of_pyinfras_in_a_file_of_group_data(name: str, meant: str, tmp_path: Path):
    """With its line, before connecting to the host."""
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data/all.py").write_text(f"# mine\n{name} = 22\n")
    said = refusal(lambda: environment.read({"WORKSTATION_HOST": "a"}, tmp_path, ["dhoch3"]))
    assert said == (
        f"{tmp_path}/group_data/all.py line 2: {name} is not a pyinfra option (did you mean "
        f"{meant}?): correct or remove it."
    )


ENV = {
    "SSH_PROT=22": "SSH_PROT is not a known key (did you mean SSH_PORT?)",
    "REDIS_PASWORD=x": "REDIS_PASWORD is not a known key (did you mean REDIS_PASSWORD?)",
    "PROMETHEUS_COMFY_UDI=1": "PROMETHEUS_COMFY_UDI is not a known key (did you mean PROMETHEUS_CO",
    "PROMETHEUS_COMFY_UID=root": "PROMETHEUS_COMFY_UID is 'root': expected a whole number",
    "PROMETHEUS_COMFY_UID=0": "comfy_uid is 0, expected a number from 1 to 2147483647",
    "PROMETHEUS_DISKS=/mnt": (
        "so it cannot be set here: set disks in group_data/prometheus.py instead."
    ),
    "PROMETHEUS_PORTS=80": (
        "so it cannot be set here: set ports in group_data/prometheus.py instead."
    ),
    "OLLAMA_ENVIRONMENT=A=1": (
        "OLLAMA_ENVIRONMENT has several values, so it cannot be set here: set ollama_environment "
        "in group_data/all.py instead"
    ),
}


@pytest.mark.parametrize("line", ENV)
def test_in_env(line: str, tmp_path: Path):
    """Keys of the connection, of settings, of secrets and of a stack."""
    for name in ("group_data", "templates"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".env").write_text(f"WORKSTATION_HOST=gpu1\nSTACKS=prometheus\n{line}\n")
    said = refusal(lambda: environment.read({}, tmp_path, STACKS[:-1]))
    assert ENV[line] in said
