"""Acceptance of the host itself, and its scripts, with stand-ins for the programs that they
call."""

from __future__ import annotations

import grp
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.harness import programs
from tests.unit.acceptance_stacks import LABELS, PAINTER, configured, made_up
from workstation.acceptance import Answer, Probe
from workstation.acceptance.machine import host_probes, name_probe
from workstation.facts.shell import script
from workstation.findings import HOST, Finding
from workstation.stack import Stack, parse

SHARE = {"smb_server": "nas", "smb_share": "ki_Daten"}
IP = r"""
cat <<'end'
1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever
2: enp5s0    inet 192.168.0.20/24 brd 192.168.0.255 scope global enp5s0\       valid_lft forever
2: enp5s0    inet6 2001:db8::20/64 scope global dynamic \       valid_lft 86021sec
3: docker0    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0\       valid_lft forever
4: br-0123456789ab    inet 172.18.0.1/16 scope global br-0123456789ab\       valid_lft forever
end
"""

IP_GLOBAL = IP.replace(IP.splitlines()[2] + "\n", "")


def of(*stacks: Stack, **changes: Any) -> dict[str, Probe]:
    found = list(host_probes(configured(**{**SHARE, **changes}), stacks))
    assert all(probe.fix and probe.asked and probe.subject == HOST for probe in found)
    return {probe.name: probe for probe in found}


def run(
    probe: Probe, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a probe like a query, in the language that our scripts use."""
    return subprocess.run(
        ["sh", "-c", script(probe.script, *(arguments or probe.arguments)).get_raw_value()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )


def judged(probe: Probe, environment: dict[str, str], *arguments: str) -> dict[str, Finding]:
    done = run(probe, environment, *arguments)
    answer = Answer(done.returncode == 0, done.stdout, done.returncode)
    return {finding.name: finding for finding in probe.findings(answer)}


def test_units_that_one_host_alone_runs_are_asked_with_the_others():
    """Their fix names the task that creates them."""
    (units, *_) = host_probes(configured(), [], {"own.service": "own"})
    lines = "LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState="
    blocks = "\n\n".join([lines] * (len(units.arguments) - 1))
    found = {finding.name: finding for finding in units.findings(Answer(False, blocks, 1))}
    assert found["own.service is active and enabled"].fix.endswith("then run tasks/own.py")
    (units, *_) = host_probes(configured(), [])
    assert "own.service" not in units.arguments


def test_what_no_stack_uses_is_not_asked():
    bare = of(made_up(a={"image": "a:1"}))
    assert list(bare) == [
        "units",
        "free space",
        "containers are closed to neighbors except for published ports",
        "our containers are fenced in",
    ]
    whole = of(made_up(painter=PAINTER))
    assert set(whole) - set(bare) == {
        "the model store exists and belongs to its group",
        "the share is mounted",
        "free space on the share",
        "Ollama runs the pinned release",
        "Ollama answers on the host",
        "Ollama does not answer on the LAN",
        "Ollama's socket for containers is closed to neighbors",
        "containers cannot manage Ollama",
    }
    assert "ollama.service" not in bare["units"].arguments
    assert "/mnt/ki" in whole["units"].arguments
    assert "/mnt/ki" not in bare["units"].arguments


def test_what_is_only_built_uses_nothing():
    assert list(of(made_up(a={**PAINTER, "profiles": ["build"]}))) == list(of())


def test_a_disk_of_its_own_must_be_mounted(tmp_path: Path):
    """It must also have free space."""
    keys = {"name": "s", "x-workstation": {"disks": ["/mnt/ssd"]}, "services": {}}
    found = of(parse(yaml.safe_dump(keys), "/opt/s"))
    assert "/mnt/ssd" in found["free space"].arguments
    name = "/mnt/ssd is a disk of its own"
    mounted = programs(tmp_path, findmnt="echo /dev/sda1 ext4")
    finding = judged(found[name], mounted)[name]
    assert (finding.ok, finding.detail) == (True, "/dev/sda1 ext4")
    finding = judged(found[name], programs(tmp_path, findmnt="exit 1"))[name]
    assert (finding.ok, finding.detail) == (False, "nothing is mounted there")


def test_a_link_to_another_disk_is_a_disk_too(tmp_path: Path):
    """A link to a folder of the system's disk is not."""
    keys = {"name": "s", "x-workstation": {"disks": ["/mnt/ssd"]}, "services": {}}
    probe = of(parse(yaml.safe_dump(keys), "/opt/s"))["/mnt/ssd is a disk of its own"]
    (tmp_path / "link").symlink_to("/mnt")
    for target, ok in (("/data", True), ("/", False)):
        text = f'[ "$4" = -T ] && echo "{target} /dev/sdb1 ext4"'
        done = run(probe, programs(tmp_path / "bin", findmnt=text), f"{tmp_path}/link")
        assert (done.returncode == 0) is ok
        assert done.stdout == ("/dev/sdb1 ext4\n" if ok else "nothing is mounted there\n")


SYSTEMCTL = """
[ "$1 $2 $4" = "show -p --" ] || exit 9
shift 4
for unit; do
  active=active enabled=enabled loaded=loaded
  case $unit in
    mnt-*) enabled=generated ;;
    ollama.service) active=failed ;;
    ollama-docker.socket) enabled=disabled ;;
    ollama-docker-guard.service) active=inactive enabled= loaded=not-found ;;
  esac
  printf 'Id=%s\\nLoadState=%s\\nActiveState=%s\\nSubState=some\\nUnitFileState=%s\\n\\n' \\
    "$unit" $loaded $active $enabled
done
"""


def test_each_unit_is_a_finding(tmp_path: Path):
    """Active now, and enabled for the next boot; the share's unit comes from fstab."""
    environment = programs(
        tmp_path, systemctl=SYSTEMCTL, systemd_escape='[ "$3" = /mnt/ki ] && echo mnt-ki.mount'
    )
    found = judged(of(made_up(painter=PAINTER))["units"], environment)
    assert {name: (one.ok, one.detail) for name, one in found.items()} == {
        "docker.service is active and enabled": (True, "active (some), enabled"),
        "ai-workstation-containers.service is active and enabled": (True, "active (some), enabled"),
        "ai-workstation-guard.service is active and enabled": (True, "active (some), enabled"),
        "ollama.service is active and enabled": (False, "failed (some), enabled"),
        "ollama-docker.socket is active and enabled": (False, "active (some), disabled"),
        "ollama-docker-guard.service is active and enabled": (False, "this unit does not exist"),
        "the mount of /mnt/ki is active and enabled": (True, "active (some), generated"),
    }
    broken = found["ollama.service is active and enabled"]
    assert "tasks/ollama.py" in broken.fix
    assert broken.evidence.startswith("$ systemctl show -p Id,LoadState")
    assert "Id=ollama.service\nLoadState=loaded\nActiveState=failed" in broken.evidence
    assert "docker" not in broken.evidence


def test_a_unit_that_is_being_started_is_given_time(tmp_path: Path):
    """It may be tried again in half a minute; the final state counts."""
    text = """
cat >>"$COUNT" <<end
asked
end
[ "$(wc -l <"$COUNT")" -gt 2 ] && active=active || active=activating
for unit; do
  case $unit in *.*) printf 'ActiveState=%s\\nLoadState=loaded\\nSubState=x\\n' $active
    printf 'UnitFileState=enabled\\n\\n' ;; esac
done
"""
    environment = programs(tmp_path, systemctl=text, sleep='echo "slept $1" >>"$COUNT.sleeps"')
    environment["COUNT"] = str(tmp_path / "count")
    found = judged(of(made_up(painter=PAINTER))["units"], environment)
    assert all(one.ok for one in found.values()), found
    assert (tmp_path / "count.sleeps").read_text() == "slept 2\nslept 2\n"

    never = text.replace("-gt 2", "-gt 1000")
    environment |= programs(tmp_path, systemctl=never)
    found = judged(of(made_up(painter=PAINTER))["units"], environment)
    assert {one.detail for one in found.values()} == {"activating (x), enabled"}
    assert len((tmp_path / "count.sleeps").read_text().splitlines()) == 2 + 90


def test_without_systemd_every_unit_fails_with_its_words(tmp_path: Path):
    text = "echo 'System has not been booted with systemd'; exit 1"
    found = judged(of(made_up(painter=PAINTER))["units"], programs(tmp_path, systemctl=text))
    assert len(found) == 7
    assert {one.detail for one in found.values()} == {"System has not been booted with systemd"}
    assert not any(one.ok for one in found.values())


def test_the_model_store_belongs_to_one_group(tmp_path: Path):
    """The same is true of new files in it, because the folder is setgid."""
    probe = of(made_up(painter=PAINTER))["the model store exists and belongs to its group"]
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras/a.safetensors").touch()
    group = grp.getgrgid(os.getegid()).gr_name
    for mode, ok in ((0o2775, True), (0o755, False), (0o2770, False)):
        tmp_path.chmod(mode)
        done = run(probe, {}, str(tmp_path), group)
        assert (done.returncode == 0) is ok
        assert done.stdout.startswith(f"1 files, mode and group {mode:o} {group}\n")
    tmp_path.chmod(0o2775)
    (tmp_path / "loras/store").symlink_to(tmp_path)
    done = run(probe, {}, f"{tmp_path}/loras/store", group)
    assert done.returncode == 0
    assert done.stdout.startswith("1 files, ")
    assert run(probe, {}, str(tmp_path), "other").returncode == 1
    done = run(probe, {}, f"{tmp_path}/none", group)
    assert done.returncode == 1
    assert "No such file" in done.stdout


FINDMNT = """
case "$*" in
  *SOURCE*) echo //other/share; echo "$MOUNTED" ;;
  *OPTIONS*) echo rw,vers=3.1.1 ;;
esac
"""


@pytest.mark.parametrize(
    ("mounted", "ok", "detail"),
    [
        ("//nas/ki_Daten", True, "//nas/ki_Daten"),
        ("//NAS/KI_Daten/", True, "//NAS/KI_Daten/"),
        ("//old/ki_Daten", False, "//old/ki_Daten"),
        ("", False, "nothing is mounted on /mnt/ki"),
    ],
)
def test_the_uppermost_mount_is_the_share(tmp_path: Path, mounted: str, ok: bool, detail: str):
    environment = {**programs(tmp_path, findmnt=FINDMNT), "MOUNTED": mounted}
    probe = of(made_up(painter=PAINTER))["the share is mounted"]
    finding = judged(probe, environment)["the share is mounted"]
    assert (finding.ok, finding.detail) == (ok, detail)
    assert "vers=3.1.1" in finding.evidence


DF = """
echo 'df: /var/lib/docker: No such file or directory' >&2
cat <<'end'
Filesystem     1024-blocks      Used Available Capacity Mounted on
/dev/nvme0n1p2   976762584 412345678 514733850      45% /
//nas/My Share    97676258  95345678   1500000      99% /mnt/ki
/dev/nvme1n1p1    97676258  85345678  12330580      87% /vol/big disk
end
echo "df $*" >&2
"""


def test_little_space_is_a_note_and_none_a_failure(tmp_path: Path):
    """In GB for every disk, whatever its name is."""
    environment = programs(tmp_path, df=DF, docker="echo /data/docker")
    found = judged(of()["free space"], environment)
    assert {name: (one.ok, one.note, one.detail) for name, one in found.items()} == {
        "free space on /": (True, False, "527 of 1000 GB are free"),
        "free space on /mnt/ki": (False, False, "1.5 of 100 GB are free"),
        "free space on /vol/big disk": (False, True, "13 of 100 GB are free"),
    }
    told = found["free space on /"].evidence
    assert "df -Pk -- / /var/lib/docker /vol/models" in told
    assert "/data/docker" in told


def test_a_share_that_cannot_be_asked_for_its_space_fails_alone(tmp_path: Path):
    probe = of(made_up(painter=PAINTER))["free space on the share"]
    environment = programs(tmp_path, df='echo "df: $3: Host is down"; exit 1')
    finding = judged(probe, environment)["free space on the share"]
    assert (finding.ok, finding.detail) == (False, "df: /mnt/ki: Host is down")
    (late,) = probe.findings(Answer(False, "(no answer in time)", 124))
    assert late.detail == "(no answer in time)"


FORWARD = """
[ "$*" = "list table inet ai_workstation_forward" ] || exit 9
echo 'table inet ai_workstation_forward {
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    ct status dnat accept
    iifname "docker0" accept
    iifname "br-*" accept
    ct state new oifname "docker0" drop
    ct state new oifname "br-*" drop
  }
}'
"""


@pytest.mark.parametrize(
    ("nft", "ok"),
    [
        (FORWARD, True),
        (FORWARD.replace("drop", "accept"), False),
        ("echo 'Error: No such file or directory' >&2; exit 1", False),
    ],
)
def test_the_rules_that_close_containers_to_neighbours_are_looked_for(
    tmp_path: Path, nft: str, ok: bool
):
    """In the form of Debian 12's nft; after a flush, the rules are missing although the unit is
    active."""
    name = "containers are closed to neighbors except for published ports"
    assert judged(of()[name], programs(tmp_path, nft=nft))[name].ok is ok


# Names


GETENT = """
[ "$1" = hosts ] || exit 9
case $2 in
  a.example) echo "192.168.0.20 a.example" ;;
  b.example) echo "192.168.0.7 b.example"; echo "192.168.0.8 b.example" ;;
  c.example) echo "127.0.1.1 c.example" ;;
  e.example) echo "2001:db8::20 e.example" ;;
  f.example) echo "172.17.0.1 f.example" ;;
esac
"""


def routed(*names: str) -> Stack:
    return made_up(
        **{
            name.partition(".")[0]: {
                "image": "a:1",
                "labels": {**LABELS, "traefik.http.routers.p.rule": f"Host(`{name}`)"},
            }
            for name in names
        }
    )


def test_each_name_is_a_finding_and_none_of_them_stops_anything(tmp_path: Path):
    """The host's own name server may not be the LAN's."""
    stack = routed(*(f"{name}.example" for name in "abcdef"), "g.localhost")
    probe = name_probe([stack])
    assert probe is not None
    assert "g.localhost" not in probe.arguments
    found = judged(probe, programs(tmp_path, ip=IP_GLOBAL, getent=GETENT))
    assert {name: (one.ok, one.detail) for name, one in found.items()} == {
        "s/a's name resolves": (True, "a.example: 192.168.0.20"),
        "s/b's name resolves": (
            False,
            "b.example: 192.168.0.7, 192.168.0.8, not this machine's 192.168.0.20",
        ),
        "s/c's name resolves": (False, "c.example: 127.0.1.1, which proves nothing for the LAN"),
        "s/d's name resolves": (False, "d.example: it has no address"),
        "s/e's name resolves": (True, "e.example: 2001:db8::20"),
        "s/f's name resolves": (
            False,
            "f.example: 172.17.0.1, not this machine's 192.168.0.20",
        ),
        "s/g's name resolves": (
            True,
            "g.localhost: on every machine, it means that machine itself",
        ),
    }
    assert all(one.note is not one.ok for one in found.values())
    assert found["s/d's name resolves"].subject == "s/d"
    assert "`*.example` the address 192.168.0.20" in found["s/d's name resolves"].fix
    assert "`192.168.0.20 d.example`" in found["s/d's name resolves"].fix
    assert found["s/a's name resolves"].evidence == "$ getent hosts a.example\n192.168.0.20"


def test_where_nothing_is_routed_no_name_is_asked_for():
    assert name_probe([made_up(a={"image": "a:1"})]) is None


def test_a_name_server_that_is_silent_is_a_note():
    probe = name_probe([routed("a.example")])
    assert probe is not None
    (finding,) = probe.findings(Answer(False, "(no answer in time)", 124))
    assert (finding.ok, finding.note) == (False, True)
    assert "the machine's address" in finding.fix
