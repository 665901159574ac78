"""A completely new stack is a folder, a file of group_data/ and a pin: the core handles it like the
others, up to the plan of the whole deploy.

Its name and those of its services, settings and secret are in no other file of this repository.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_templates import ROOT, STACKS
from workstation.stack import data_key

STACK, SECRET = "wombat-farm", "wombat_token"
FILES = {
    f"templates/stacks/{STACK}/_data.yml": """\
burrow_port: {type: port, default: 8123, meaning: Port of the burrow on 127.0.0.1.}
burrow_depth:
  type: text
  one_of: [shallow, deep]
  meaning: How deep it digs.
burrow_name: {type: text, default: Under the oak, meaning: What it is called.}
weights: {type: path, default: /models/wombat.gguf, meaning: The model that it loads.}
limits: {type: limits, default: {default: {pids_limit: 512}}, meaning: What a container may take.}
spade_token: {type: secret, meaning: What only the spade reads.}
wombat_token: {type: secret, meaning: What the burrow asks its visitors for.}
""",
    f"templates/stacks/{STACK}/_criteria.yml": """\
criteria:
  - text: The burrow is open
    proved_by: [is healthy, "answers on "]
    asked_of: burrow
    otherwise: there is no burrow
""",
    f"templates/stacks/{STACK}/compose.yaml.j2": """\
{% from "macros.j2" import gpus, hardening, healthcheck, limits, models %}
# ai-workstation: a stack that was made up
name: {{ project | compose }}
services:
  burrow:
    image: {{ built("burrow") }}
    build: ./burrow
    pull_policy: never
    environment:
      DEPTH: {{ stack.burrow_depth | compose }}
      NAME: {{ stack.burrow_name | compose }}
    secrets: [wombat_token]
    ports: [{{ ("127.0.0.1:" ~ stack.burrow_port ~ ":80") | compose }}]
    volumes:
      - {{ models() }}
      - burrow:/data
    {{ healthcheck("http://127.0.0.1/") | indent(4) }}
    {{ hardening() | indent(4) }}
    {{ limits("burrow") | indent(4) }}
    x-workstation:
      models: [{path: {{ stack.weights | compose }}, format: gguf, setting: weights}]
      holds: {burrow: everything that was dug}
  fence:
    image: {{ image("wombat_fence") }}
    {{ limits("fence") | indent(4) }}
    x-workstation: {probe: ""}
  # A person starts it: docker compose --profile digging up
  spade:
    image: {{ image("wombat_spade") }}
    profiles: [digging]
    ports: [127.0.0.1:22:22]
    secrets: [spade_token]
    volumes:
      - {{ models() }}
    {{ gpus() | indent(4) }}
    x-workstation:
      models: [{path: /models/spade.pth, format: pytorch, setting: weights}]
      needs_gpu: leave it out
      image_gb: 9000
volumes:
  burrow:
secrets:
  spade_token:
    file: ./secrets/spade_token
  wombat_token:
    file: ./secrets/wombat_token
    x-workstation: {owner: "1000:1000"}
""",
    f"templates/stacks/{STACK}/burrow/Dockerfile.j2": """\
FROM {{ image("python") }}
COPY dig.py /
USER 1000:1000
CMD ["python3", "/dig.py"]
""",
    f"templates/stacks/{STACK}/burrow/dig.py": "print('digging')\n",
    f"group_data/{STACK}.py": 'wombat_farm = {"burrow_depth": "deep"}\n',
    ".env": f"WORKSTATION_HOST=@local\nSTACKS={STACK}\nGPU=none\nWOMBAT_TOKEN=Geheim-9x\n",
}
PIN = """\
images:
  wombat_fence: {name: docker.io/wombat/fence, tag: "1.0", digest: null}
  wombat_spade: {name: docker.io/wombat/spade, tag: "2.0", digest: null, compute: 90.0-99.0}
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository with the stack, and with the same ``workstation/``."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("files", "workstation", "tasks", "docs"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("group_data", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pins.yml", "config.py", "inventory.py", "deploy.py", ".env.example"):
        shutil.copy(ROOT / name, folder)
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    pins = (folder / "pins.yml").read_text()
    assert pins.count("\nimages:\n") == 1
    (folder / "pins.yml").write_text(pins.replace("\nimages:\n", f"\n{PIN}", 1))
    return folder


def python(checkout: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        # The checkout's workstation comes first; the tests are this repository's.
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(checkout),
            "PYTHONPATH": f"{checkout}:{ROOT}",
            **variables,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def plan(checkout: Path, **variables: str) -> tuple[int, str]:
    """Plan the whole deploy for a machine that has nothing of the stack yet."""
    arguments = ("-m", "tests.unit.ready_machine", "inventory.py", "deploy.py", "--dry")
    return python(checkout, *arguments, **variables)


def test_the_whole_deploy_is_planned(checkout: Path):
    """Its files, its secret with its owner, its image and its containers; nothing that it does not
    use."""
    status, shown = plan(checkout)
    assert status == 0, shown
    for line in (
        f"+ /opt/stacks/{STACK}/compose.yaml (644 root:root)",
        f"+ /opt/stacks/{STACK}/secrets/{SECRET} (400 1000:1000)",
        f"+ {STACK}: build {STACK}/burrow:1-",
        f"+ {STACK}: pull docker.io/wombat/fence:1.0",
        f"+ {STACK}: create burrow",
        f"+ {STACK}: create fence",
    ):
        assert line in shown, shown
    assert "Geheim" not in shown
    assert "_data.yml" not in shown
    # A person starts it, so the run neither needs nor gets anything for it.
    assert "spade" not in shown
    for unused in ("tasks/ollama.py", "tasks/smb.py", "tasks/proxy.py", "tasks/worker.py"):
        assert unused not in shown


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"WOMBAT_TOKEN": ""}, "WOMBAT_TOKEN is not set"),
        ({"WOMBAT_FARM_BURROW_PORT": "0:1"}, "BURROW_PORT is '0:1': expected a whole number"),
        ({"WOMBAT_FARM_BURROW_PORT": "70000"}, "burrow_port is 70000, expected"),
        (
            {"WOMBAT_FARM_BURROW_NAME": ""},
            "burrow_name is '', expected text: correct it in group_data/wombat-farm.py, or "
            "WOMBAT_FARM_BURROW_NAME in .env.",
        ),
        ({"WOMBAT_FARM_BURROW_DEPTH": "deap"}, "is 'deap' (did you mean deep?): expected one of"),
        (
            {"WITHOUT_MODELS": "yes"},
            f"set weights in group_data/{STACK}.py, or WOMBAT_FARM_WEIGHTS",
        ),
    ],
)
def test_what_is_wrong_with_it_is_one_sentence(
    variables: dict[str, str], expected: str, checkout: Path
):
    """This only needs the definition of its settings and the keys of its Compose file."""
    status, shown = plan(checkout, **variables)
    assert status == 1
    assert expected in shown
    assert "Traceback" not in shown
    assert "Geheim" not in shown


KEYS = {
    "WOMBAT_TOKN=x": "WOMBAT_TOKN is not a known key (did you mean WOMBAT_TOKEN?)",
    "WOMBAT_FARM_WIEGHTS=x": "(did you mean WOMBAT_FARM_WEIGHTS?)",
}


@pytest.mark.parametrize("line", KEYS)
def test_a_key_of_its_own_is_known_in_env(line: str, checkout: Path, tmp_path: Path):
    """A near miss is rejected, and the error suggests the existing key."""
    (tmp_path / "other.env").write_text(f"{FILES['.env']}{line}\n")
    status, shown = plan(checkout, ENV_FILE=str(tmp_path / "other.env"))
    assert status == 1
    assert KEYS[line] in shown


READ = """
from pathlib import Path
from tests.page.sample import SITE, host_settings
from workstation import documentation, environment, pins
from workstation.acceptance.services import service_probes
from workstation.mirror import Mirror
from workstation.compose.actions import ProjectState
from workstation.render import StackRenderer
from workstation.report import criteria, topology
name, given, pinned = "STACK", host_settings(), pins.load(Path("pins.yml"))
data = environment.data_of(Path.cwd(), [name])[name]
stack = StackRenderer(name, given, pinned, Mirror(), data, True).render().model
for probe in service_probes(stack, ProjectState(), given, "token"):
    print(probe.name)
for one in criteria.judge([], [stack], SITE):
    print(one.text, "-", one.remark)
print("uses", *topology.uses(stack.services[0], SITE))
print(*documentation.settings_tables(Path.cwd()).values())
print(documentation.example("", Path.cwd()))
"""


def test_acceptance_criteria_picture_and_documents_know_it(checkout: Path):
    """Each reads its folder."""
    status, shown = python(checkout, "-c", READ.replace("STACK", STACK))
    assert status == 0, shown
    for text in (
        f"{STACK}/burrow answers on 127.0.0.1:8123",
        f"The burrow is open - not checked: {STACK}/burrow",
        "uses models\n",
        "| `WOMBAT_FARM_BURROW_DEPTH` | `shallow`, `deep` | must be set | How deep it digs. |",
        "| `WOMBAT_TOKEN` | secret | empty | What the burrow asks its visitors for. |",
        f"# What the burrow asks its visitors for. Only for the stack {STACK}.\n#WOMBAT_TOKEN=",
    ):
        assert text in shown


def constants(path: Path) -> Iterator[str]:
    """Yield the strings in a Python file that are not docstrings."""
    tree = ast.parse(path.read_text())
    docstrings = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in docstrings:
            yield node.value


def test_the_core_names_no_stack():
    """Neither in its decisions nor in its messages."""
    names = [re.escape(name) for stack in STACKS for name in {stack, data_key(stack)}]
    names.remove("proxy")
    pattern = re.compile(rf"\b({'|'.join(names)})\b", re.IGNORECASE)
    found = {
        f"{path.relative_to(ROOT)}: {text}"
        for folder in ("workstation", "tasks")
        for path in (ROOT / folder).rglob("*.py")
        for text in constants(path)
        if pattern.search(text)
    }
    assert found == set()
