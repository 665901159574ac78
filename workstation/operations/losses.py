"""What would be lost with a machine: everything its stacks write there, with size and age."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from workstation.context import Context
from workstation.facts.asking import ask
from workstation.facts.losses import Loss, Losses
from workstation.stack import is_below

_NOT_SAID = "not described: set `holds` in the service's x-workstation"


def places(machine: Context) -> dict[str, str]:
    """Return each place that the host's stacks write to, a folder or a volume -> its description.
    The share and files that runs create are left out: they exist elsewhere too."""
    settings = machine.settings
    elsewhere = (settings.smb_mount, settings.stacks_dir)
    found = {
        # Compose puts the project before the name of a volume.
        source if source.startswith("/") else f"{stack.model.name}_{source}": said or _NOT_SAID
        for stack in machine.stacks()
        for source, said in stack.model.losses().items()
        if not any(is_below(source, folder) for folder in elsewhere)
    }
    found[settings.models_path] = "the model store; its models can be downloaded again"
    for worker in machine.workers:
        if worker.repository:
            found[worker.state] = f"files written by the worker of {worker.stack}"
    if machine.needs.ollama:
        found[settings.ollama_models] = "Ollama's models; `ollama pull` downloads them again"
    return found


def show(host: Any, machine: Context) -> None:
    """Print what would be lost, most recently changed first."""
    said = places(machine)
    found: dict[str, Loss] = ask(host, Losses, places=sorted(said))
    click.echo(f"Only on {host.name}, and lost if it is reinstalled:", err=True)
    for place in sorted(said, key=lambda one: (-_newest(found.get(one)), one)):
        click.echo(f"  {place}: {_told(found.get(place))}\n      {said[place]}", err=True)


def _newest(loss: Loss | None) -> int:
    return loss.newest if loss else -1


def _told(loss: Loss | None) -> str:
    if loss is None:
        return "does not exist"
    if loss.files < 0:
        return "does not respond, or takes too long to count"
    if not loss.files:
        return "empty"
    changed = f"{datetime.fromtimestamp(loss.newest):%Y-%m-%d %H:%M}"
    files = "1 file" if loss.files == 1 else f"{loss.files} files"
    return f"{_size(loss.size)} in {files}, last changed {changed}"


def _size(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1000:.0f} kB"
