"""The whole run: every task in order, and nothing else."""

from pathlib import Path

from pyinfra import local

TASKS = (
    "preflight",
    "docker",
    "nvidia",
    "ollama",
    "storage",
    "smb",
    "proxy",
    "stacks",
    "worker",
    "acceptance",
)

for task in TASKS:
    local.include(str(Path(__file__).resolve().parent / "tasks" / f"{task}.py"))
