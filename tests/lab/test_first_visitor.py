"""A visitor who opens Dockge before anybody else gets nothing."""

from __future__ import annotations

import shlex

import pytest

from lab.environment import PASSWORD
from tests.lab.conftest import CURL, Workstation

pytestmark = pytest.mark.long

_VISIT = (
    f"{CURL} -sS -H 'Host: dockge.localhost' http://127.0.0.1/standin/setup "
    '-d \'{"username": "mallory", "password": "Mallory1"}\''
)
_ACCOUNTS = (
    'import sqlite3; print(sqlite3.connect("/app/data/dockge.db")'
    '.execute("select username, password from user").fetchall())'
)


def test_the_account_of_dockge_is_the_one_of_the_run(converged: Workstation) -> None:
    """With the password of .env, which is in its file alone; another one later changes nothing."""
    assert "has been initialized" in converged.run(_VISIT)
    accounts = f"docker exec dhoch3-dockge-1 python3 -c {shlex.quote(_ACCOUNTS)}"
    assert converged.run(accounts).strip() == repr([("admin", PASSWORD)])
    secret = "/opt/stacks/dhoch3/secrets/dockge_password"
    assert converged.run(f"stat -c '%a %U' {secret}") == "400 root\n"
    inspected = converged.run("docker inspect dhoch3-dockge-1")
    assert "first' $account" not in inspected
    run = converged.pyinfra("tasks/stacks.py", "-y", environment={"DOCKGE_PASSWORD": "another one"})
    assert run.status == 0, run.error
    assert converged.run(accounts).strip() == repr([("admin", PASSWORD)])


def test_acceptance_fails_while_dockge_waits_for_its_first_visitor(converged: Workstation) -> None:
    """As after somebody deleted its database and started it by hand, without the run's command."""
    compose = "/opt/stacks/dhoch3/compose.yaml"
    converged.run(
        f"sed -i 's/tsx .\\/extra\\/first_account.ts && //' {compose} && cd /opt/stacks/dhoch3 && "
        "docker compose rm -sf dockge && docker volume rm dhoch3_dockge && "
        "docker compose up -d --wait dockge"
    )
    run = converged.pyinfra("tasks/acceptance.py", "-y")
    assert run.status != 0
    assert "dhoch3/dockge's log is clean" in run.output
    run = converged.pyinfra("tasks/stacks.py", "tasks/acceptance.py", "-y")
    assert run.status == 0, run.error
    assert "has been initialized" in converged.run(_VISIT)
