"""The share in its real-world forms: other options, automounters, units, an fstab in another
encoding, other people's containers on it; and model folders that are links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import lab.nas
from tests.lab.conftest import Run, Workstation

pytestmark = pytest.mark.long

MOUNT = "/mnt/ki_Daten"
UNIT = "mnt-ki_Daten"
SHARE = "//192.168.0.6/ki_Daten"
CREDENTIALS = "/etc/ai-workstation/smb-ki_Daten.credentials"
USERS = ("comfyui", "fooocus", "forge", "invokeai", "fluxgym", "ai-toolkit")
STORE = "/vol/service/cw/storage-models/models"


@pytest.fixture
def old_server(converged: Workstation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workstation]:
    """The converged machine, and a file server that speaks SMB 2.1 too."""
    nas, plain = converged.lab.nas, lab.nas.settings
    monkeypatch.setattr(lab.nas, "settings", lambda *of: plain(*of).replace("SMB3_00", "SMB2_10"))
    nas.stop()
    nas.start()
    yield converged
    monkeypatch.undo()
    nas.stop()
    nas.start()


def _share(machine: Workstation, *options: str, **environment: str) -> Run:
    """Run the share's task, which must do exactly what it planned."""
    run = machine.pyinfra("tasks/smb.py", "-y", "--json", *options, environment=environment)
    assert run.status == 0, run.output[-3000:]
    assert run.planned == run.done
    return run


def _stays(machine: Workstation, **environment: str) -> None:
    """Check that a second run changes nothing, and restarts no container."""
    before = machine.containers()
    assert _share(machine, **environment).planned == set()
    assert machine.containers() == before


def _shown(machine: Workstation) -> str:
    return machine.run(f"findmnt -n -o OPTIONS {MOUNT} | tail -n 1")


def _stopped(run: Run) -> set[str]:
    prefix = "change container "
    return {one.removeprefix(prefix) for one in run.planned if one.startswith(prefix)}


def test_another_version_is_tried_as_it_will_be_mounted(converged: Workstation) -> None:
    """A server that does not speak it is reported before anything is changed."""
    before, mounted = converged.our_files(), _shown(converged)
    for options, words in (
        ("vers=2.1", "does not support the requested SMB version, vers=2.1"),
        ("vers=2.0", "does not support the requested SMB version"),
        ("quux=1", "Unknown parameter 'quux'"),
        ("port=4450", "cannot be reached on port 4450"),
    ):
        for task in ("tasks/preflight.py", "tasks/smb.py"):
            run = converged.pyinfra(task, "-y", environment={"SMB_OPTIONS": options})
            assert run.status != 0
            assert words in " ".join(run.output.split()), run.output[-2000:]
    assert (converged.our_files(), _shown(converged)) == (before, mounted)


def test_another_version_is_mounted_and_stays(old_server: Workstation) -> None:
    """The plan names the containers that it stops for that; acceptance also logs in with this
    version."""
    given = {"SMB_OPTIONS": "vers=2.1"}
    run = _share(old_server, **given)
    assert _stopped(run) == {f"dhoch3-{name}-1" for name in USERS}
    assert "vers=2.1" in _shown(old_server)
    _stays(old_server, **given)
    run = old_server.pyinfra("tasks/acceptance.py", "-y", environment=given)
    assert run.status == 0, run.output[-3000:]


@pytest.mark.parametrize(
    "options", ["vers=3", "vers=default,file_mode=777", "rsize=99999999,sec=ntlmssp,cache=loose"]
)
def test_options_are_compared_by_what_they_mean(converged: Workstation, options: str) -> None:
    """One run applies them; later runs change nothing, not even after a reboot."""
    given = {"SMB_OPTIONS": options}
    _share(converged, **given)
    if "file_mode" in options:
        assert "file_mode=0777" in _shown(converged)
    _stays(converged, **given)
    converged.lab.machine.reboot()
    converged.run("systemctl is-system-running --wait", check=False)
    _stays(converged, **given)
    # An option that the kernel shows differently from how it was given is applied all the same.
    changed = _share(converged, SMB_OPTIONS=f"{options},wsize=65536")
    assert f"change {SHARE} mounted on {MOUNT}" in changed.planned


def test_containers_of_others_are_named_and_run_on(converged: Workstation) -> None:
    """Containers that bind the share, use it as a volume, or bind the folder above, including one
    with --rm; each writes to the new mount afterward. A container that does not use the share is
    left alone."""
    image = converged.run("docker inspect -f '{{.Image}}' dhoch3-fooocus-1").strip()
    start = f"--entrypoint sleep {image} infinity"
    converged.run(
        "docker volume create -d local -o type=none -o o=bind -o device=/mnt/ki_Daten/ComfyUI out;"
        f"docker run -d --name theirs -v {MOUNT}/ComfyUI:/x {start};"
        f"docker run -d --rm --name once -v {MOUNT}/ComfyUI:/x {start};"
        f"docker run -d --name volume -v out:/x {start};"
        f"docker run -d --name above -v /mnt:/mnt {start};"
        f"docker run -d --name monitor -v /:/rootfs:ro {start};"
        f"docker run -d --name other {start}"
    )
    before = converged.containers()
    run = _share(converged, SMB_OPTIONS="nobrl")
    assert _stopped(run) == {
        *(f"dhoch3-{name}-1" for name in USERS),
        *("theirs", "once", "volume", "above"),
    }
    after = converged.containers()
    assert {name: id_.split()[0] for name, id_ in before.items()} == {
        name: id_.split()[0] for name, id_ in after.items()
    }
    for name in ("/other", "/monitor", "/dhoch3-dockge-1"):
        assert before[name] == after[name]
    for name, file in (("theirs", "/x"), ("once", "/x"), ("volume", "/x"), ("above", MOUNT)):
        shown = converged.run(f"docker exec {name} grep ' {file} ' /proc/self/mounts | tail -n 1")
        mounted = (
            shown
            if name != "above"
            else converged.run(f"docker exec {name} grep ' {MOUNT} ' /proc/self/mounts")
        )
        assert "nobrl" in mounted, name
    running = converged.run("docker ps --format '{{.Names}}'").split()
    assert {"theirs", "once", "volume", "above", "monitor", "other"} <= set(running)


def test_a_mount_that_fails_leaves_no_container_stopped(converged: Workstation) -> None:
    """The login works, but mount(8) fails. Containers cannot start without the folder that they
    bind: they are on record, and the run that mounts the share starts them."""
    running = "docker ps --format '{{.Names}}' | sort"
    record = "/var/lib/ai-workstation/stopped-for-the-share"
    before = converged.run(running)
    helper = "/usr/sbin/mount.cifs"
    converged.run(f"mv {helper} {helper}.real; ln -s /bin/false {helper}")
    run = converged.pyinfra("tasks/smb.py", "-y", environment={"SMB_OPTIONS": "nobrl"})
    converged.run(f"mv -f {helper}.real {helper}")
    assert run.status != 0
    assert converged.run(f"sort {record}").split() == sorted(f"dhoch3-{name}-1" for name in USERS)
    healed = _share(converged, SMB_OPTIONS="nobrl")
    assert f"create {SHARE} mounted on {MOUNT}" in healed.planned
    assert not converged.succeeds(f"test -e {record}")
    assert converged.run(running) == before
    _stays(converged, SMB_OPTIONS="nobrl")


@pytest.mark.parametrize("looked", [False, True])
def test_an_automounter_of_fstab_gives_way(converged: Workstation, looked: bool) -> None:
    """Whether or not somebody has accessed it; the folder under it is guarded as usual."""
    converged.run(
        f"docker stop $(docker ps -q); umount {MOUNT}; sed -i '\\#{MOUNT}#d' /etc/fstab;"
        f"echo '{SHARE} {MOUNT} cifs credentials={CREDENTIALS},x-systemd.automount 0 0'"
        f" >>/etc/fstab; systemctl daemon-reload; systemctl start {UNIT}.automount"
    )
    if looked:
        converged.run(f"ls {MOUNT}")
    run = _share(converged)
    assert f"remove {UNIT}.automount" in run.planned
    assert not converged.succeeds(f"systemctl is-active {UNIT}.automount")
    assert converged.run(f"findmnt -n -o FSTYPE {MOUNT}").split() == ["cifs"]
    _stays(converged)
    converged.lab.machine.reboot()
    converged.run("systemctl is-system-running --wait", check=False)
    assert converged.run(f"findmnt -n -o FSTYPE {MOUNT}").split() == ["cifs"]
    _stays(converged)


def test_what_systemd_knows_better_than_fstab_is_refused(converged: Workstation) -> None:
    """A custom unit, a masked one, another file system: each is named, and nothing is done."""
    before = converged.containers()
    for setup, words, undo in (
        (
            f"printf '[Mount]\\nWhat={SHARE}\\nWhere={MOUNT}\\nType=cifs\\n'"
            f" >/etc/systemd/system/{UNIT}.mount",
            f"/etc/systemd/system/{UNIT}.mount defines what is mounted",
            f"rm /etc/systemd/system/{UNIT}.mount",
        ),
        (f"systemctl mask {UNIT}.mount", "is masked", f"systemctl unmask {UNIT}.mount"),
        (f"mount -t tmpfs theirs {MOUNT}", "theirs (tmpfs) is mounted", f"umount {MOUNT}"),
    ):
        converged.run(f"{setup}; systemctl daemon-reload")
        for task in ("tasks/preflight.py", "tasks/smb.py"):
            run = converged.pyinfra(task, "-y")
            assert run.status != 0
            assert words in " ".join(run.output.split()), run.output[-2000:]
        converged.run(f"{undo}; systemctl daemon-reload")
    assert converged.containers() == before
    _stays(converged)


def test_an_fstab_of_another_encoding_keeps_its_bytes(converged: Workstation) -> None:
    """A comment in Latin-1, Windows line ends, no newline at the end."""
    old = b"# B\xfcro\r\ntmpfs /media tmpfs noauto 0 0"
    converged.send(old, "/etc/fstab")
    run = converged.pyinfra("tasks/smb.py", "-y", "--diff")
    assert run.status == 0, run.output[-3000:]
    assert "# B\\xfcro" in run.output
    new = converged.run("base64 -w0 /etc/fstab")
    assert converged.succeeds("head -c 41 /etc/fstab | od -An -c | grep -q 'B 374'")
    assert f"{MOUNT}" in converged.run("tail -n 1 /etc/fstab"), new
    _stays(converged)


def test_a_server_that_hangs_ends_a_run_with_a_sentence(converged: Workstation) -> None:
    """Instead of hanging, or ending with a traceback."""
    converged.lab.nas.freeze()
    try:
        run = converged.pyinfra("tasks/smb.py", "-y")
    finally:
        converged.lab.nas.thaw()
    assert run.status != 0
    assert f"{MOUNT}/" in run.output
    assert "does not respond" in run.output
    assert "Traceback" not in run.output


def test_a_store_on_another_disk_and_a_linked_folder(converged: Workstation) -> None:
    """Only wrong modes and owners at the links' targets are changed; containers see the contents. A
    link that containers cannot follow is named, and one to a system folder is refused."""
    converged.run(
        f"mkdir -p /data && mv {STORE} /data/models && ln -s /data/models {STORE};"
        "cd /data/models && mv unet/* diffusion_models/ 2>/dev/null; rmdir unet;"
        "ln -s diffusion_models unet; chown -h nobody unet; touch diffusion_models/linked;"
        "chmod 700 loras"
    )
    tasks = ("tasks/preflight.py", "tasks/storage.py")
    run = converged.pyinfra(*tasks, "-y", "--json")
    assert run.status == 0, run.output[-3000:]
    assert f"change {STORE}/loras" in run.planned
    assert not any("unet" in one for one in run.planned)
    assert converged.run("stat -c '%a %F' /data/models/loras /data/models/unet").splitlines() == [
        "2775 directory",
        "777 symbolic link",
    ]
    run = converged.pyinfra(*tasks, "-y", "--json")
    assert run.planned == set()
    converged.run("docker restart dhoch3-comfyui-1")
    assert "linked" in converged.run("docker exec dhoch3-comfyui-1 ls /models/unet")

    converged.run("ln -sfn /data/models/diffusion_models /data/models/unet")
    run = converged.pyinfra("tasks/preflight.py", "-y")
    assert run.status == 0
    assert f"ln -sfn diffusion_models {STORE}/unet" in " ".join(run.output.split())

    converged.run("chmod 755 /etc; ln -sfn /etc /data/models/unet")
    run = converged.pyinfra("tasks/storage.py", "-y")
    assert run.status != 0
    assert "leads to /etc, a system folder" in " ".join(run.output.split())
    assert converged.run("stat -c '%a %U %G' /etc") == "755 root root\n"
