"""Running services while Docker, the toolkit or systemd's units change under them, and on a machine
that somebody had already set up."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.lab.conftest import ENGINE, REPOSITORY, Workstation
from workstation import mirror as mirrors
from workstation.pins import load

pytestmark = pytest.mark.long

GPU_USER = "dhoch3-comfyui-1"
NEWER_TOOLKIT = "1.20.1-1"
"""Than the pinned one."""
# A repository has one release of Docker at a time, so the upgrade is the same release under a
# higher number.
_NEWER_DOCKER = r"""
cd "$(mktemp -d /var/tmp/newer.XXXXXX)" && apt-get update \
&& apt-get download PACKAGES \
&& for package in PACKAGES; do
  dpkg-deb -R "$package"_*.deb $package \
  && sed -i 's/^Version: .*/&+newer/' $package/DEBIAN/control \
  && dpkg-deb -Znone -b $package newer-$package.deb || exit 1
done && apt-get install -y ./newer-*.deb && rm -r "$PWD"
""".replace(
    "PACKAGES",
    {"newest": "docker-ce containerd.io", "distribution": "docker.io containerd"}[ENGINE],
)
TOOLKIT_PACKAGES = (
    "nvidia-container-toolkit",
    "nvidia-container-toolkit-base",
    "libnvidia-container-tools",
    "libnvidia-container1",
)


def _sees_gpu(machine: Workstation) -> bool:
    return machine.succeeds(f"docker exec {GPU_USER} nvidia-smi")


def test_changes_of_engine_and_toolkit_under_running_containers(converged: Workstation) -> None:
    """Containers keep their ids, start times and the GPU; the next run restores the pinned toolkit
    with its hold, and changes nothing else."""
    before = converged.containers()
    for change in (
        "systemctl daemon-reload",
        "apt-get update && apt-get install -y --allow-change-held-packages "
        + " ".join(f"{package}={NEWER_TOOLKIT}" for package in TOOLKIT_PACKAGES),
        "systemctl restart docker",
        _NEWER_DOCKER,
    ):
        converged.run(f"export DEBIAN_FRONTEND=noninteractive; ( {change} ) </dev/null")
        assert converged.containers() == before, change
        assert _sees_gpu(converged), change
    run = converged.pyinfra("deploy.py", "-y")
    assert run.status == 0, run.error
    assert run.changed == ["tasks/nvidia.py | NVIDIA Container Toolkit"]
    assert converged.containers() == before


@pytest.mark.skipif(ENGINE == "newest", reason="it has the newest Engine already")
def test_an_upgrade_to_the_newest_engine_recreates_nothing(converged: Workstation) -> None:
    """Containers keep their ids, and the Engine its image store. The next run proves the GPU with
    the new Engine, and changes nothing else."""
    before = converged.containers()
    folder = converged.lab.mirror.root / "http" / "debian-forky"
    names = " ".join(shlex.quote(path.name) for path in sorted(folder.glob("*.deb")))
    assert names
    converged.run(
        'set -e; exec </dev/null; cd "$(mktemp -d /var/tmp/newest.XXXXXX)"\n'
        f"for name in {names}; do curl -fsSO http://192.168.0.5:80/debian-forky/$name; done\n"
        'DEBIAN_FRONTEND=noninteractive apt-get install -y ./*.deb; rm -r "$PWD"'
    )
    version = converged.run("docker version -f '{{.Server.Version}}'")
    assert int(version.split(".")[0]) >= 28
    assert "snapshotter" not in converged.run("docker info -f '{{.DriverStatus}}'")
    assert converged.containers() == before
    run = converged.pyinfra("deploy.py", "-y", "--json")
    assert run.status == 0, run.error
    assert run.changed == ["tasks/nvidia.py | Containers see the GPU"]
    assert converged.containers() == before
    # apt does not know its repository.
    assert "forky" not in converged.run("cat /etc/apt/sources.list /etc/apt/sources.list.d/*")


# Somebody's Docker with a Traefik that holds port 80, a project with the name of one of our stacks,
# and networks in the range that Docker would use next.
_THEIRS = """
set -e; exec >/dev/null 2>&1
apt-get update
mkdir -p /etc/docker /srv/data /home/anna/dhoch3
cat >/etc/docker/daemon.json <<'EOF'
{"log-driver": "local", "bip": "172.20.0.1/16", "labels": ["owner=anna"],
 "insecure-registries": ["192.168.0.5:80"]}
EOF
echo 'tmpfs /srv/data tmpfs size=1m 0 0 # mine' >>/etc/fstab
mount /srv/data
DEBIAN_FRONTEND=noninteractive apt-get install -y docker.io docker-cli docker-compose busybox-static
docker network create --subnet 172.18.0.0/16 theirs
docker network create --subnet 172.19.0.0/16 edge
docker run -d --name edge --restart always --network edge -p 80:80 \
  -v /var/run/docker.sock:/var/run/docker.sock:ro TRAEFIK \
  --providers.docker --providers.docker.exposedbydefault=false --entrypoints.web.address=:80
cat >/home/anna/dhoch3/compose.yaml <<'EOF'
services: {site: {image: TRAEFIK, command: ["--ping"], volumes: ["kept:/kept"]}}
volumes: {kept: {}}
EOF
cd /home/anna/dhoch3
docker compose up -d
docker compose exec site touch /kept/file
# Nothing starts these again.
mkdir -p /tmp/image/bin
cp /bin/busybox /tmp/image/bin/
ln -s busybox /tmp/image/bin/sleep
tar -C /tmp/image -c . | docker import - theirs:1
docker run -d --name plain --network theirs theirs:1 sleep 1000000
docker run -d --rm --name passing theirs:1 sleep 1000000
"""


def _traefik(machine: Workstation) -> str:
    """Return the image of Traefik that the mirror serves."""
    mirror = machine.lab.mirror.file
    pins = load(REPOSITORY / "pins.yml", mirrors.load(str(mirror)).pins)
    return pins.images["traefik"].ref(mirrors.load(str(mirror)))


def test_what_somebody_had_set_up_before_is_kept(bare: Workstation) -> None:
    """A daemon.json, an entry in fstab, networks in Docker's usual range, a Traefik, a project of
    the same name: each is kept, merged, joined or refused, and the run converges alongside them."""
    bare.run(_THEIRS.replace("TRAEFIK", _traefik(bare)))
    before = bare.containers()
    run = bare.pyinfra("deploy.py", "-y")
    assert run.status != 0
    told = " ".join(run.output.split())
    assert (
        "project dhoch3: Docker has another project named dhoch3: site of /home/anna/dhoch3" in told
    )
    assert "foreign Traefik: the container edge" in told
    assert "PROXY_NETWORK=edge" in told
    assert bare.containers() == before
    run = bare.pyinfra("tasks/stacks.py", "-y")
    assert run.status != 0
    assert "another project named dhoch3" in run.output
    assert bare.containers() == before

    bare.run("docker compose -p dhoch3 down >/dev/null 2>&1")
    before.pop("/dhoch3-site-1")
    assert set(before) == {"/edge", "/plain", "/passing"}
    assert bare.containers() == before
    no_login = {"LOGIN_USER": "", "LOGIN_PASSWORD": ""}
    join = {"PROXY": "existing", "PROXY_NETWORK": "edge", **no_login}
    run = bare.pyinfra("deploy.py", "-y", environment=join)
    assert run.status == 0, run.output[-3000:]
    kept = json.loads(bare.run("cat /etc/docker/daemon.json"))
    assert kept["bip"] == "172.20.0.1/16"
    assert kept["labels"] == ["owner=anna"]
    assert "tmpfs /srv/data tmpfs size=1m 0 0 # mine" in bare.run("cat /etc/fstab")
    assert {"theirs", "edge"} <= set(bare.run("docker network ls --format '{{.Name}}'").split())
    assert "dhoch3_kept" in bare.run("docker volume ls -q")
    # With ids and start times.
    assert {name: one for name, one in bare.containers().items() if "dhoch3" not in name} == before
    assert bare.pyinfra("deploy.py", "-y", environment=join).changed == []
    assert {name: one for name, one in bare.containers().items() if "dhoch3" not in name} == before
