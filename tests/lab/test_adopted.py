"""A machine on which somebody's Docker is already running: containers keep running, with the same
ids and start times, and Docker still starts."""

from __future__ import annotations

import json

import pytest

from tests.lab.conftest import Workstation

pytestmark = pytest.mark.long

# Debian's Docker without Buildx, and an existing configuration.
_INSTALLED = r"""
set -e; exec >/dev/null 2>&1
apt-get update
mkdir -p /etc/docker /srv/app
cat >/etc/docker/daemon.json <<'EOF'
{"labels": ["owner=anna"], "max-concurrent-downloads": 2, "bip": "172.20.0.1/16"}
EOF
chmod 640 /etc/docker/daemon.json
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
  docker.io docker-cli docker-compose busybox-static
mkdir -p /tmp/image/bin
cp /bin/busybox /tmp/image/bin/
for name in sh sleep httpd true; do ln -s busybox /tmp/image/bin/$name; done
tar -C /tmp/image -c . | docker import - theirs:1
printf 'services: {app: {image: "theirs:1", command: [sleep, "1000000"]}}\n' >/srv/app/compose.yaml
"""

# An existing drop-in, and containers that nothing would start again: one without a restart policy,
# one with a health check, one that Docker removes when it ends, one of a Compose project, one that
# publishes a port.
_RUNNING = r"""
set -e; exec >/dev/null 2>&1
mkdir -p /etc/systemd/system/docker.service.d
cat >/etc/systemd/system/docker.service.d/theirs.conf <<'EOF'
DROP-IN
EOF
systemctl daemon-reload
systemctl restart docker.service
MORE
docker run -d --name plain theirs:1 sleep 1000000
docker run -d --name healthy --health-cmd true --health-interval 2s theirs:1 sleep 1000000
docker run -d --rm --name passing theirs:1 sleep 1000000
docker run -d --name web -p 8088:80 theirs:1 httpd -f -p 80 -h /bin
docker compose --project-directory /srv/app up -d
"""

# The machine with their Docker, before any container runs: installing Docker takes minutes.
_THEIRS = "theirs"

_TASKS = ("tasks/docker.py", "tasks/nvidia.py")


def theirs(machine: Workstation, drop_in: str = "[Service]", more: str = "") -> dict[str, str]:
    """Set all of it up; return the containers with their ids and start times."""
    vm = machine.lab.machine
    if _THEIRS in vm.checkpoints():
        vm.restore(_THEIRS)
    else:
        machine.run(_INSTALLED)
        vm.checkpoint(_THEIRS)
    machine.run(_RUNNING.replace("DROP-IN", drop_in).replace("MORE", more))
    return run_of(machine)


def run_of(machine: Workstation) -> dict[str, str]:
    """Return name -> id and start time of the running containers."""
    listing = machine.run(
        "docker ps -q | xargs -r docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}'"
    )
    return dict(line.split(" ", 1) for line in listing.splitlines())


def _pid(machine: Workstation) -> str:
    return machine.run("systemctl show -P MainPID docker.service")


def test_what_ran_runs_on_through_the_adoption(bare: Workstation) -> None:
    """Docker is restarted after live-restore was loaded; the missing plugin comes from Docker's own
    origin; the configuration is kept with its mode; a second run changes nothing."""
    before, pid = theirs(bare, "[Service]\nEnvironment=HTTP_PROXY="), _pid(bare)
    assert len(before) == 5
    run = bare.pyinfra(*_TASKS, "-y")
    assert run.status == 0, run.error
    told = " ".join(run.output.split())
    assert "restart to apply log-driver and log-opts: keeps 5 containers running" in told
    assert "+ package docker-buildx" in told
    assert "docker-ce" not in told
    assert run_of(bare) == before
    assert _pid(bare) != pid
    assert bare.succeeds("curl -sf -o /dev/null http://127.0.0.1:8088/sh")
    kept = json.loads(bare.run("cat /etc/docker/daemon.json"))
    assert kept["labels"] == ["owner=anna"]
    assert (kept["bip"], kept["max-concurrent-downloads"]) == ("172.20.0.1/16", 2)
    assert kept["live-restore"] is True
    assert bare.run("stat -c %a /etc/docker/daemon.json") == "640\n"
    assert "owner=anna" in bare.run("cat /etc/docker/daemon.json.before-ai-workstation")
    pid = _pid(bare)
    again = bare.pyinfra(*_TASKS, "-y")
    assert again.changed == []
    assert (run_of(bare), _pid(bare)) == (before, pid)


def test_a_run_that_is_cut_off_before_the_restart_is_finished(bare: Workstation) -> None:
    """Docker has not read its new file: the next run restarts it, just as gently."""
    before, pid = theirs(bare), _pid(bare)
    # A Docker that cannot be reloaded ends the run between writing the file and the restart.
    cut = "/etc/systemd/system/docker.service.d/zz-cut.conf"
    bare.run(f"printf '[Service]\\nExecReload=\\nExecReload=/bin/false\\n' >{cut}; "
             "systemctl daemon-reload")  # fmt: skip
    run = bare.pyinfra("tasks/docker.py", "-y")
    assert run.status != 0
    assert "was not restarted" in run.output
    assert (run_of(bare), _pid(bare)) == (before, pid)
    bare.run(f"rm {cut}; systemctl daemon-reload")
    run = bare.pyinfra("tasks/docker.py", "-y")
    assert run.status == 0, run.error
    assert _pid(bare) != pid
    assert run_of(bare) == before
    assert bare.run("docker info -f '{{.LiveRestoreEnabled}}'") == "true\n"
    assert bare.pyinfra("tasks/docker.py", "-y").changed == []


def test_a_node_of_a_swarm_stays_one(bare: Workstation) -> None:
    """live-restore is left out, because Docker would not start with it, and nothing is stopped for
    log rotation. Docker starts again."""
    service = "docker service create -d --name svc theirs:1 sleep 1000000"
    swarm = f"docker swarm init --advertise-addr 127.0.0.1\n{service}\nsleep 20"
    before, pid = theirs(bare, more=swarm), _pid(bare)
    run = bare.pyinfra("tasks/docker.py", "-y")
    assert run.status == 0, run.error
    told = " ".join(run.output.split())
    assert "= live-restore of /etc/docker/daemon.json (left out: this is a Swarm node" in told
    assert "takes effect when Docker next starts, not now: it would stop" in told
    assert (run_of(bare), _pid(bare)) == (before, pid)
    assert bare.pyinfra("tasks/docker.py", "-y").changed == []
    bare.run("systemctl restart docker.service")
    assert bare.run("docker info -f '{{.Swarm.LocalNodeState}}'") == "active\n"


@pytest.mark.parametrize(
    ("drop_in", "keys"),
    [
        (
            "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// --log-driver=journald",
            {"live-restore"},
        ),
        ("[Service]\nEnvironment=DOCKER_OPTS=--live-restore", {"log-driver", "log-opts"}),
    ],
    ids=["log-driver", "live-restore"],
)
def test_what_a_flag_gives_is_left_out(bare: Workstation, drop_in: str, keys: set[str]) -> None:
    """Docker does not start if an option is set in both places; here it does, also after a
    restart."""
    before = theirs(bare, drop_in)
    run = bare.pyinfra(*_TASKS, "-y")
    assert run.status == 0, run.error
    assert "Docker's command line sets" in " ".join(run.output.split())
    assert run_of(bare) == before
    ours = {"live-restore", "log-driver", "log-opts"}
    assert ours & set(json.loads(bare.run("cat /etc/docker/daemon.json"))) == keys
    bare.run("systemctl reset-failed docker.service; systemctl restart docker.service")
    assert run_of(bare) == before
    assert bare.pyinfra(*_TASKS, "-y").changed == []


def test_docker_that_does_not_come_up_gets_its_old_file_back(bare: Workstation) -> None:
    """For a reason that no check finds in advance; the run fails, and containers keep running."""
    refuses = '[Service]\nExecStartPre=/bin/sh -c "! grep -q max-size /etc/docker/daemon.json"'
    before = theirs(bare, refuses)
    old = bare.run("cat /etc/docker/daemon.json")
    run = bare.pyinfra("tasks/docker.py", "-y")
    assert run.status != 0
    assert "Docker did not start with the new /etc/docker/daemon.json" in run.output
    assert "the old one is back, and Docker runs with it" in " ".join(run.output.split())
    assert bare.run("cat /etc/docker/daemon.json") == old
    assert run_of(bare) == before


def test_a_wedged_docker_ends_the_run_with_one_sentence(bare: Workstation) -> None:
    """It is not mistaken for a missing Docker, whichever task is run; nothing is changed."""
    before = theirs(bare)
    files = bare.our_files()
    bare.run("kill -STOP $(systemctl show -P MainPID docker.service)")
    for task in ("tasks/preflight.py", "tasks/stacks.py"):
        run = bare.pyinfra(task, "-y")
        assert run.status != 0
        assert "Docker does not answer within 60 s" in " ".join(run.output.split())
    bare.run("kill -CONT $(systemctl show -P MainPID docker.service)")
    assert bare.our_files() == files
    assert run_of(bare) == before


def test_ipv6_on_the_default_bridge(bare: Workstation) -> None:
    """Ollama's socket listens on each address at which containers reach the host."""
    theirs(bare)
    bare.run(
        'set -e; echo \'{"ipv6": true, "fixed-cidr-v6": "fd00:d0c::/64"}\' '
        ">/etc/docker/daemon.json; docker rm -f $(docker ps -q) >/dev/null;"
        "for once in 1 2; do systemctl reset-failed docker; systemctl restart docker; done"
    )
    run = bare.pyinfra("tasks/ollama.py", "-y")
    assert run.status == 0, run.error
    listeners = bare.run("ss -Hltn")
    # Docker leaves its bridge the address that the removed `bip` gave it.
    assert "172.20.0.1:11434" in listeners
    assert "[fd00:d0c::1]:11434" in listeners
    assert bare.pyinfra("tasks/ollama.py", "-y").changed == []
