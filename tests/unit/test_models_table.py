"""The table in docs/models.md matches the templates."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
import yaml

from tests.unit import markdown
from tests.unit.test_templates import ROOT, render
from workstation import settings
from workstation.operations.invokeai import LEFT_OUT
from workstation.stack import Mount, Service

TEXT = (ROOT / "docs/models.md").read_text()
STACK = render()
SETTINGS = settings.load(settings.defaults(ROOT / "group_data/all.py"))
MODELS = SETTINGS.models_path
FOLDERS = SETTINGS.models_folders


def table() -> dict[str, dict[str, str]]:
    """Return column -> row -> cell."""
    head, body = markdown.table(TEXT)
    return {
        column: {row[0].strip("*`"): row[number] for row in body}
        for number, column in enumerate(head)
        if number
    }


TABLE = table()
SEEN, VOLUME, OUTPUTS = list(next(iter(TABLE.values())))[-3:]
SERVICES = {service.name: service for service in STACK.model.running if service.name in TABLE}


def mounts(service: Service, kind: str, below: str = "") -> list[Mount]:
    return [one for one in service.mounts if one.kind == kind and one.source.startswith(below)]


def folders(service: str, how: str) -> set[str]:
    """Return the folders of the store that the table lists for a service with this word."""
    assert set(FOLDERS) <= set(TABLE[service])
    return {folder for folder in FOLDERS if TABLE[service][folder] == how}


def file(path: str) -> str:
    return STACK.files[path].decode()


def flags(service: str) -> str:
    return " ".join(str(SERVICES[service].keys["command"]).split())


def test_its_rows_are_the_folders_of_the_store():
    """In their order; the rows about written files come last."""
    for column in TABLE.values():
        assert list(column) == [*FOLDERS, SEEN, VOLUME, OUTPUTS]


def test_its_columns_are_the_services_that_see_the_store():
    """Dockge does not see it."""
    assert list(TABLE) == [
        service.name
        for service in STACK.model.running
        if any(mount.source == MODELS for mount in service.mounts)
    ]


@pytest.mark.parametrize("name", TABLE)
def test_every_cell_is_a_word_that_is_explained(name: str):
    """Below the table."""
    for folder in FOLDERS:
        assert f"- **{TABLE[name][folder]}**: " in TEXT


@pytest.mark.parametrize("name", TABLE)
def test_mounts_are_those_of_the_compose_file(name: str):
    """The store is read-only, and there is one volume and one folder of the share."""
    service = SERVICES[name]
    (store,) = mounts(service, "bind", MODELS)
    assert (store.source, TABLE[name][SEEN]) == (MODELS, f"`{store.target}`")
    assert store.read_only
    (volume,) = mounts(service, "volume")
    assert TABLE[name][VOLUME] == f"`{volume.source}` = `{volume.target}`"
    (share,) = mounts(service, "bind", SETTINGS.smb_mount)
    folder = share.source.removeprefix(SETTINGS.smb_mount + "/")
    assert TABLE[name][OUTPUTS] == f"`{folder}` = `{share.target}`"
    assert not any(mount.read_only for mount in (volume, share))


def test_comfyui_reads_what_its_paths_name():
    """These are all folders of the store."""
    paths = yaml.safe_load(file("comfyui/extra_model_paths.yaml"))["workstation"]
    assert paths.pop("base_path") == TABLE["comfyui"][SEEN].strip("`")
    assert set(paths.values()) == folders("comfyui", "read")
    outputs = TABLE["comfyui"][OUTPUTS].split("`")[3]
    arguments = SERVICES["comfyui"].keys["environment"]["CLI_ARGS"]
    assert f"--output-directory {outputs}" in arguments


def test_fooocus_reads_lists_and_links_the_rest(tmp_path: Path):
    """Folders of its own are named below the table."""
    (tmp_path / "entrypoint.py").write_text(file("fooocus/entrypoint.py"))
    program = runpy.run_path(str(tmp_path / "entrypoint.py"))
    assert set(program["LISTS"].values()) == folders("fooocus", "read")
    assert set(program["LINKED"].values()) == folders("fooocus", "links")
    for name in program["OWN"].values():
        assert f"`{name.split('/')[0]}`" in written("fooocus")


def test_forge_reads_what_its_flags_name():
    """Each has its own flag."""
    named = set(re.findall(r" /models/(\S+)", flags("forge")))
    assert named == folders("forge", "read")
    assert TABLE["forge"][OUTPUTS].endswith(
        re.findall(r"--data-dir (\S+)", flags("forge"))[0] + "/outputs`"
    )


def test_invokeai_is_offered_all_but_what_it_has_no_use_for():
    """At the place where it mounts the store."""
    service = SERVICES["invokeai"]
    assert f"`{service.registers}`" == TABLE["invokeai"][SEEN]
    assert folders("invokeai", "registered") == set(FOLDERS) - set(LEFT_OUT)
    assert folders("invokeai", "-") == set(LEFT_OUT)
    environment = service.keys["environment"]
    assert TABLE["invokeai"][OUTPUTS].endswith(f"`{environment['INVOKEAI_OUTPUTS_DIR']}`")
    assert TABLE["invokeai"][VOLUME].endswith(f"`{environment['INVOKEAI_ROOT']}`")


def test_fluxgym_links_what_has_the_right_name():
    """The names are in a separate section."""
    script = file("fluxgym/entrypoint.sh").replace("\\\n", " ")
    candidates = [
        candidate
        for line in script.splitlines()
        if line.startswith("link ")
        for candidate in line.split()[2:]
    ]
    assert {candidate.split("/")[0] for candidate in candidates} == folders("fluxgym", "named")
    section = TEXT.partition("## FluxGym")[2]
    for candidate in candidates:
        assert f"`{Path(candidate).stem}" in section


def test_ai_toolkit_reads_what_a_job_names():
    """Its template does not mention the store's folders."""
    assert folders("ai-toolkit", "path") == set(FOLDERS)
    assert "/models/" not in file("ai-toolkit/entrypoint.sh").replace("/data/models", "")


def written(service: str) -> str:
    """Return the text below the table about the files that a service writes."""
    match = re.search(rf"^- \*\*{service}\*\*: (.*?)(?=^- |^## )", TEXT, re.MULTILINE | re.DOTALL)
    assert match, service
    return match[1]


@pytest.mark.parametrize("name", ["fluxgym", "ai-toolkit"])
def test_what_a_trainer_writes_is_named(name: str):
    """Each folder that its image redirects to the volume, and the one that is copied to the
    share."""
    (names,) = re.findall(r"for name in ([^;]+); do", file(f"{name}/Dockerfile"))
    for folder in names.split():
        assert f"`{folder}`" in written(name)
    (source, target) = re.findall(r"export-artefacts (\S+) (\S+)", file(f"{name}/entrypoint.sh"))[0]
    assert f"`{Path(source).name}` to the share" in " ".join(written(name).split())
    assert TABLE[name][OUTPUTS].endswith(f"`{target}`")


@pytest.mark.parametrize("name", TABLE)
def test_what_each_service_writes_is_told(name: str):
    """There is one entry for each column."""
    assert written(name)
