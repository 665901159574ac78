"""Findings about disks, fstab and the share."""

from __future__ import annotations

import runpy

import pytest

from tests.fixtures.harness import ROOT, settings
from workstation import pins
from workstation.facts.smb import MountState, MountUnit
from workstation.facts.surroundings import Disk
from workstation.findings import Finding, failed, noted
from workstation.mirror import Mirror
from workstation.mounts.mountinfo import Mount
from workstation.preflight.storage import (
    data_folders,
    disk_findings,
    fstab_findings,
    link_findings,
    mount_findings,
    mountpoint_findings,
    place_findings,
    share_finding,
    size,
)
from workstation.render import StackRenderer
from workstation.stack import Service, parse

GB = 10**9
DOCKER, CONTAINERD, MODELS = "/var/lib/docker", "/var/lib/containerd", "/vol/models"
IMAGES = [DOCKER, CONTAINERD]
GIGABYTES = {
    "dhoch3/base:1": 7.94,
    "dhoch3/fooocus:2": 1.24,
    "dhoch3/forge:2": 2.16,
    "dhoch3/fluxgym:2": 1.32,
    "dhoch3/ai-toolkit:0": 5.96,
    "docker.io/yanwk/comfyui-boot:cu128": 7.9,
    "ghcr.io/invoke-ai/invokeai:v6": 7.9,
    "docker.io/louislam/dockge:1": 0.0,
}
ALL = list(GIGABYTES)
UNC, MOUNT = "//192.168.0.6/ki_Daten", "/mnt/ki_Daten"


def missing(*images: str) -> list[Service]:
    return [Service(image, image, image_gb=GIGABYTES[image]) for image in images]


def disks(free: float, **others: tuple[str, float]) -> dict[str, Disk]:
    found = dict.fromkeys((DOCKER, CONTAINERD, MODELS), Disk("/", round(free * GB)))
    return found | {
        {"docker": DOCKER, "containerd": CONTAINERD, "models": MODELS}[key]: Disk(
            mountpoint, round(value * GB)
        )
        for key, (mountpoint, value) in others.items()
    }


def judged(found: dict[str, Disk], *images: str, stand_ins: bool = False) -> dict[str, Finding]:
    findings = disk_findings(found, IMAGES, missing(*images), stand_ins)
    return {finding.name: finding for finding in findings}


def test_an_image_counts_once():
    """However many services use it; one of unknown size counts as zero."""
    assert size(missing(*ALL, *ALL)) == round((18.62 + 15.8) * GB)
    assert size(missing(ALL[-1])) == 0


def test_sizes_of_the_shipped_stack_are_those_of_docs_images():
    """18.62 GB for the images built here."""
    shipped = pins.load(ROOT / "pins.yml")
    data = runpy.run_path(str(ROOT / "group_data/dhoch3.py"))["dhoch3"]
    stack = StackRenderer("dhoch3", settings(), shipped, Mirror(), data, True).render().model
    assert size(stack.built) == round(18.62 * GB)
    assert size(stack.services) == round((18.62 + 15.8) * GB)


def test_a_disk_with_room_passes():
    """With numbers: free space, its purpose, and the required space."""
    finding = judged(disks(200), *ALL)["disk /"]
    assert finding.ok
    assert f"200 GB are free for {DOCKER}, {CONTAINERD}, {MODELS}" in finding.detail
    assert "take at least 34 GB" in finding.detail


def test_a_disk_that_is_surely_too_small_is_refused():
    """Before an hour of building ends with 'no space left'."""
    finding = judged(disks(34), *ALL)["disk /"]
    assert failed([finding])
    assert "docker system df" in finding.fix


def test_a_disk_that_will_be_nearly_full_is_worth_knowing():
    """Less than 20 GB beyond the images."""
    assert noted(judged(disks(54), *ALL).values())
    assert judged(disks(55), *ALL)["disk /"].ok


def test_images_that_are_there_need_no_room():
    """A second run on a full disk changes nothing, but the disk is still reported."""
    assert failed(judged(disks(1)).values()) == []
    assert noted(judged(disks(1)).values())
    assert judged(disks(30))["disk /"].ok


def test_each_disk_is_judged_once_and_for_what_lies_there():
    """A small system disk does not matter if images are elsewhere."""
    found = judged(disks(25, docker=("/data", 100)), *ALL)
    assert set(found) == {"disk /", "disk /data"}
    assert all(finding.ok for finding in found.values())
    assert MODELS in found["disk /"].detail
    assert "34 GB" not in found["disk /"].detail


def test_images_may_lie_in_containerds_folder():
    """It is not certain which of the two will be used, so it is an error only if both are too
    small."""
    found = judged(disks(100, docker=("/data", 5)), *ALL)
    assert failed(found.values()) == []
    assert "34 GB" in found["disk /"].detail


def test_of_stand_ins_no_size_is_known():
    """The lab's disk is small, and so are its images."""
    finding = judged(disks(10), *ALL, stand_ins=True)["disk /"]
    assert finding.ok
    assert "the size of the stand-ins is unknown" in finding.detail


def test_what_was_not_told_is_not_judged():
    """Without a disk, there is no finding."""
    assert judged({}, *ALL) == {}


@pytest.mark.parametrize(
    ("content", "root"),
    [
        (None, DOCKER),
        (b"", DOCKER),
        (b"{not json", DOCKER),
        (b"[]", DOCKER),
        (b'{"data-root": 5}', DOCKER),
        (b'{"data-root": "/data/docker"}', "/data/docker"),
    ],
)
def test_the_engines_folder_is_where_daemon_json_says(content: bytes | None, root: str):
    """A broken file is covered by another finding."""
    assert data_folders(content) == [root, CONTAINERD]


OURS = f"{UNC} {MOUNT} cifs credentials=/etc/x,uid=2000 0 0"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# /dev/sdb1 /mnt/ki_Daten ext4 defaults 0 2\nUUID=1 / ext4 defaults 0 1\n",
        f"{OURS}\n",
        f"{OURS.replace('uid=2000', 'uid=1000,vers=3.0')}\n",
        f"{OURS.replace(UNC, UNC.upper() + '/')}\n",
        f"{UNC} /home/anna/share cifs user=anna 0 0\n",
        "/dev/sdb1 /mnt/ki_Daten2 ext4 defaults 0 2\n",
    ],
)
def test_an_fstab_without_another_mount_there_passes(text: str):
    """Our entry may have other options; it is corrected."""
    (finding,) = fstab_findings(text, UNC, MOUNT)
    assert finding.ok


@pytest.mark.parametrize("target", [MOUNT, f"{MOUNT}/", "/mnt/ki\\137Daten"])
def test_another_disk_on_the_mountpoint_is_refused_with_its_line(target: str):
    """A foreign mount is never replaced; its options are not shown, because they may contain a
    password."""
    text = f"UUID=1 / ext4 defaults 0 1\nanna@nas:/x {target} fuse.sshfs password=geheim 0 0\n"
    (finding,) = failed(fstab_findings(text, UNC, MOUNT))
    assert finding.detail.startswith("line 2 mounts anna@nas:/x (fuse.sshfs)")
    assert "SMB_MOUNT" in finding.fix
    assert "geheim" not in f"{finding}"


def test_another_share_on_the_mountpoint_is_replaced_and_told():
    """It is an entry of the same kind, for example for a previous server."""
    (finding,) = fstab_findings(f"//old/ki_Daten {MOUNT} cifs guest 0 0\n", UNC, MOUNT)
    assert noted([finding])
    assert "//old/ki_Daten" in finding.detail
    assert "will be replaced" in finding.detail


def test_a_line_that_names_the_mountpoint_by_a_link_counts():
    """A line whose bytes are not UTF-8 can still be shown."""
    text = "UUID=1 / ext4 defaults 0 1\nnas:/B\udcfcro /srv/daten nfs4 defaults 0 0\n"
    (finding,) = failed(fstab_findings(text, UNC, MOUNT, linked=[2]))
    assert finding.detail.startswith("line 2 mounts nas:/B\\xfcro (nfs4)")
    assert fstab_findings(text, UNC, MOUNT).__next__().ok


def layer(kind: str, source: str = UNC) -> Mount:
    return Mount(1, 0, "/", MOUNT, kind, source)


@pytest.mark.parametrize(
    "found",
    [
        MountState(),
        MountState(layers=(layer("cifs"),), hidden=3),
        MountState(layers=(layer("cifs", "//old/x"), layer("cifs"))),
        MountState(
            layers=(layer("autofs", "systemd-1"), layer("cifs")),
            automount=MountUnit("mnt-ki_Daten.automount", active=True),
        ),
    ],
)
def test_a_mountpoint_that_is_the_shares_own_passes(found: MountState):
    """systemd's automounter, which an entry in fstab creates, is replaced together with the
    entry."""
    assert list(mountpoint_findings(found, MOUNT)) == []


@pytest.mark.parametrize(
    ("found", "words", "fix"),
    [
        (MountState(real="/srv/x"), "its real path is /srv/x", "set SMB_MOUNT=/srv/x"),
        (MountState(above="/etc/auto.mnt"), "through its map /etc/auto.mnt", "reload autofs"),
        (MountState(layers=(layer("autofs", "/etc/auto.direct"), layer("cifs"))), "map", "autofs"),
        (MountState(mount=MountUnit("m.mount", masked=True)), "masked", "systemctl unmask m.mount"),
        (
            MountState(mount=MountUnit("m.mount", file="/etc/systemd/system/m.mount")),
            "/etc/systemd/system/m.mount defines what is mounted",
            "systemctl disable --now m.mount",
        ),
        (
            MountState(
                automount=MountUnit("m.automount", active=True, file="/usr/lib/m.automount")
            ),
            "/usr/lib/m.automount defines",
            "systemctl disable --now m.automount",
        ),
        (
            MountState(mount=MountUnit("m.mount", file="/run/systemd/transient/m.mount")),
            "/run/systemd/transient/m.mount defines",
            "`systemctl stop m.mount`",
        ),
        (MountState(layers=(layer("ext4", "/dev/sdb1"),)), "/dev/sdb1 (ext4)", "umount"),
        (MountState(layers=(layer("cifs"), layer("overlay", "overlay"))), "overlay (", "umount"),
    ],
)
def test_a_mountpoint_of_somebody_else_stops_the_run(found: MountState, words: str, fix: str):
    """systemd, an automounter or a person would take precedence there."""
    (finding,) = failed(mountpoint_findings(found, MOUNT))
    assert words in finding.detail
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (MountState(layers=(layer("ext4", "/dev/sdb1"), layer("cifs"))), "under the share"),
        (MountState(mount=MountUnit("m.mount", overrides=("/etc/x.conf",))), "/etc/x.conf changes"),
        (MountState(folder=True, immutable=True, hidden=2), "contains 2 files or folders"),
        (MountState(f"{OURS}\n".encode(), folder=True, hidden=2), "contains 2 files or folders"),
        (MountState(flags=False), "does not support immutable folders"),
    ],
)
def test_what_is_odd_at_the_mountpoint_is_worth_knowing(found: MountState, words: str):
    """It stops nothing."""
    (finding,) = noted(mountpoint_findings(found, MOUNT))
    assert words in finding.detail


def test_a_folder_that_does_not_answer_stops_the_run():
    """With its name."""
    (finding,) = failed(place_findings({}, ["/vol/models"], [], MOUNT))
    assert finding.name == "folder /vol/models"
    assert "does not answer" in finding.detail


@pytest.mark.parametrize(
    ("disk", "right"),
    [
        (Disk("/disk", 5, "ext4"), True),
        (Disk("/disk", 5, "fuseblk"), True),
        (Disk("/disk", 5, "exfat"), False),
        (Disk("/mnt/nas2", 5, "cifs"), False),
        (Disk(MOUNT, 5, "cifs"), False),
    ],
)
def test_a_store_lies_where_files_have_owners(disk: Disk, right: bool):
    """Wherever its link leads; Docker's folders are checked separately."""
    found = {"/vol/models": disk, "/var/lib/docker": Disk("/d", 5, "vfat")}
    assert (failed(place_findings(found, [], ["/vol/models"], MOUNT)) == []) is right


STACKS = [
    parse(
        """
        name: s
        services:
          a: {image: a, volumes: ["/vol/models:/models:ro", "/mnt/big:/mnt/big:ro"]}
          b: {image: b, volumes: ["/vol/models:/models:ro"]}
          c: {image: c}
        """
    )
]


def links(*found: tuple[str, str], real: str = "/vol/models") -> list[Finding]:
    return list(link_findings("/vol/models", real, found, STACKS))


def test_a_store_without_links_that_lead_out_passes():
    """The host does not report relative links within it."""
    assert links() == []
    assert list(link_findings("/vol/other", "/vol/other", [("a", "/x")], STACKS)) == []


@pytest.mark.parametrize("real", ["/vol/models", "/disk/models"])
@pytest.mark.parametrize(
    ("link", "said", "command"),
    [
        ("unet", "diffusion_models", "ln -sfn diffusion_models /vol/models/unet"),
        ("a/b/unet", "diffusion_models", "ln -sfn ../../diffusion_models /vol/models/a/b/unet"),
    ],
)
def test_an_absolute_link_within_the_store_is_named_with_its_relative_form(
    real: str, link: str, said: str, command: str
):
    """In a container, the store has another path."""
    (finding,) = noted(links((link, f"{real}/{said}"), real=real))
    assert f"{link} -> {real}/{said}" in finding.detail
    assert command in finding.fix


def test_a_link_that_leads_out_of_the_store_is_named_with_a_bind_mount():
    """Also one that only some containers can follow; of many, the first is named."""
    (finding,) = noted(links(("sd", "/mnt/big/sd"), ("x", "../../y"), ("z", "/z"), ("q", "/q")))
    assert "sd -> /mnt/big/sd, x -> ../../y, z -> /z and 1 more" in finding.detail
    assert "`/mnt/big/sd /vol/models/sd none bind 0 0`" in finding.fix


def test_a_link_that_all_containers_can_follow_is_not_named():
    """They mount its target at the same path."""
    stacks = [
        parse('{name: s, services: {a: {image: a, volumes: ["/vol/models:/m", "/big:/big"]}}}')
    ]
    assert list(link_findings("/vol/models", "/vol/models", [("sd", "/big/sd")], stacks)) == []


def test_a_disk_that_does_not_answer_is_none():
    """For example, if its automounter is waiting."""
    (finding,) = failed(mount_findings(["/mnt/ssd"], {"/mnt/ssd": "does not answer"}))
    assert finding.detail == "does not answer"


def test_a_share_that_lets_us_in_passes():
    """With its name."""
    finding = share_finding(None, "accepted", "", UNC)
    assert finding.ok
    assert UNC in finding.detail


def test_a_share_that_refuses_says_what_to_do():
    """The server's message and the fix are separate."""
    refusal = f"{UNC}: the server answered STATUS_LOGON_FAILURE: check SMB_PASSWORD in .env."
    finding = share_finding(refusal, "refused", "STATUS_LOGON_FAILURE", UNC)
    assert failed([finding])
    assert finding.detail == f"{UNC}: the server answered STATUS_LOGON_FAILURE"
    assert finding.fix == "check SMB_PASSWORD in .env"


def test_a_share_that_could_not_be_tried_is_worth_knowing():
    """Its state is unknown."""
    finding = share_finding(None, "unknown", "python3 is not installed on the host", UNC)
    assert noted([finding])
    assert "python3" in finding.detail


def test_a_folder_that_is_somebodys_does_not_become_the_mountpoint():
    """Its content would be hidden, and it would be made immutable. A folder that was the share's
    before has outputs that were written while it was away."""
    (finding,) = failed(mountpoint_findings(MountState(folder=True, hidden=1), MOUNT))
    assert "contains 1 file or folder, hidden while" in finding.detail
    assert "set SMB_MOUNT to another folder" in finding.fix
    assert failed(mountpoint_findings(MountState(folder=True), MOUNT)) == []
