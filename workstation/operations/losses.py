"""Telling what is lost with a machine: all that its stacks write there, with its size and age."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from workstation.context import Context
from workstation.facts.asking import ask
from workstation.facts.losses import Loss, Losses
from workstation.stack import is_below

_NOT_SAID = "not said: `holds` in the service's x-workstation"


def places(machine: Context) -> dict[str, str]:
    """Return each place that the host's stacks write to, a folder or a volume -> what is said of
    it. What lies on the share, or is laid down by runs, is not the host's alone."""
    settings = machine.settings
    elsewhere = (settings.smb_mount, settings.stacks_dir)
    found = {
        # Compose puts the project before the name of a volume.
        source if source.startswith("/") else f"{stack.model.name}_{source}": said or _NOT_SAID
        for stack in machine.stacks()
        for source, said in stack.model.losses().items()
        if not any(is_below(source, folder) for folder in elsewhere)
    }
    found[settings.models_path] = "the model store: what was put there; download it again"
    for worker in machine.workers:
        if worker.repository:
            found[worker.state] = f"what the worker of {worker.stack} wrote for itself"
    if machine.needs.ollama:
        found[settings.ollama_models] = "Ollama's models; `ollama pull` fetches them again"
    return found


def show(host: Any, machine: Context) -> None:
    """Print what would be lost, the place that changed last first."""
    said = places(machine)
    found: dict[str, Loss] = ask(host, Losses, places=sorted(said))
    click.echo(
        f"{host.name} alone holds, and a machine that is made anew would not have:", err=True
    )
    for place in sorted(said, key=lambda one: (-_newest(found.get(one)), one)):
        click.echo(f"  {place}: {_told(found.get(place))}\n      {said[place]}", err=True)


def _newest(loss: Loss | None) -> int:
    return loss.newest if loss else -1


def _told(loss: Loss | None) -> str:
    if loss is None:
        return "not there"
    if loss.files < 0:
        return "it does not answer, or takes too long to be counted"
    if not loss.files:
        return "empty"
    changed = f"{datetime.fromtimestamp(loss.newest):%Y-%m-%d %H:%M}"
    return f"{_size(loss.size)} in {loss.files} files, last changed {changed}"


def _size(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1000:.0f} kB"
