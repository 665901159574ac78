"""Unit files and drop-ins, parsed here and by the real systemd: both must get the same result."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workstation.units.files import UnitFile, command, drop_ins, service, with_file, words

SYSTEMD = Path("/lib/systemd/systemd")
FOLDERS = ("control", "etc", "run", "local", "usr")
"""In systemd's order of precedence."""


def needs_systemd(test: Any) -> Any:
    work = os.getuid() != 0 or Path("/run/systemd/system").exists()
    marked = pytest.mark.skipif(work, reason="not root, or systemd is at work here")(test)
    return pytest.mark.skipif(not SYSTEMD.exists(), reason="needs the package systemd")(marked)


UNIT = "[Service]\nExecStart=/usr/local/bin/ollama serve\nUser=ollama\nGroup=ollama\n"


def judged(folder: Path) -> dict[str, list[str]]:
    """Return systemd's own listing of ``x.service`` in the folders."""
    paths = [str(folder / name) for name in FOLDERS]
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run(
        # It refuses to run as root for this.
        [*nobody, str(SYSTEMD), "--system", "--test", "--unit=x.service"],
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "SYSTEMD_UNIT_PATH": ":".join([*paths, "/usr/lib/systemd/system"]),
            "XDG_RUNTIME_DIR": "/tmp",
            "HOME": "/tmp",
        },
    )
    listing = done.stdout.partition("-> Unit x.service:")[2].partition("-> Unit ")[0]
    assert listing, done.stdout + done.stderr
    found: dict[str, list[str]] = {}
    for line in listing.splitlines():
        key, separator, value = line.strip().partition(": ")
        if separator:
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that anybody can read."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def lay_down(folder: Path, files: dict[str, str]) -> list[UnitFile]:
    """Write files at their places below the folders; return the drop-ins as the fact reports
    them."""
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    (folder / "etc/default.target").write_text("[Unit]\nDescription=x\n")
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if text == "masked":
            file.symlink_to("/dev/null")
        else:
            file.write_text(text)
    return [
        UnitFile(str(file), file.read_text())
        for name in FOLDERS
        for kind in ("x.service.d", "service.d")
        for file in sorted((folder / name / kind).glob("*"))
    ]


@needs_systemd
def test_drop_ins_are_read_in_systemds_order(folder: Path):
    """Of several with one name, the first counts; this includes those of the type; masked ones have
    no effect."""
    text = "[Service]\nEnvironment={0}=1\n"
    places = [
        "etc/x.service.d/b.conf",
        "etc/x.service.d/zz-ai-workstation.conf",
        "etc/service.d/b.conf",
        "etc/service.d/c.conf",
        "run/x.service.d/a.conf",
        "run/x.service.d/b.conf",
        "usr/x.service.d/zzz.conf",
        "local/x.service.d/zz-ai-workstation.conf",
        "control/x.service.d/50-CPU.conf",
        "usr/x.service.d/masked.conf",
        "etc/x.service.d/x.conf.disabled",
        "etc/x.service.d/.hidden.conf",
        "etc/x.service.d/Z.conf",
        "usr/service.d/zzz.conf",
    ]
    files = {place: text.format(f"V{number}") for number, place in enumerate(places)}
    files["etc/x.service.d/masked.conf"] = "masked"
    files["etc/x.service"] = UNIT
    found = drop_ins(lay_down(folder, files))
    told = judged(folder)
    assert [one.path for one in found] == told["DropIn Path"]
    names = {f"{name}=1" for name in service(found).environment}
    assert names == set(told["Environment"])


DROP_IN = r"""
# a comment
; another
[Service]
User=anna
ExecStart=
ExecStart=-/usr/bin/nice -n 5 \
  # a comment inside
  /usr/local/bin/ollama serve
Environment="A=b c" 'D=e f' G=h\x20i "OLLAMA_HOST=0.0.0.0" P=100%%
Environment=OLLAMA_HOST=1.2.3.4 \
 K=l
 Group = root
UnsetEnvironment=K
[Install]
User=nobody
[Service]
Nice=3
Environment=Q="mid"dle
"""


@needs_systemd
@pytest.mark.parametrize(
    "text",
    [
        DROP_IN,
        "[Service]\nEnvironment=\nEnvironment=ONE=1\n",
        '[Service]\nUser=\nEnvironment=A="quoted \\"inside\\""\n',
        "[Unit]\nUser=nobody\n",
        "",
    ],
)
def test_settings_are_what_systemd_makes_of_them(folder: Path, text: str):
    """Comments, continued lines, quotes, repeated sections, values that are reset."""
    files = {"etc/x.service": f"{UNIT}Environment=FIRST=1\n", "etc/x.service.d/a.conf": text}
    found = service(
        [UnitFile("x.service", files["etc/x.service"]), *drop_ins(lay_down(folder, files))]
    )
    told = judged(folder)
    # Unset variables are missing at the start, and are listed separately.
    unset = [word for line in told.get("UnsetEnvironment", []) for word in line.split()]
    expected = [one for one in told.get("Environment", []) if one.partition("=")[0] not in unset]
    assert [f"{name}={value.text}" for name, value in found.environment.items()] == expected
    assert [" ".join(command(one.text)) for one in found.start] == [
        re.sub(r"^[-@:+!]*", "", line) for line in told["Command Line"]
    ]
    for key in ("User", "Group", "Nice"):
        if key in found.settings and found.settings[key].text:
            assert [found.settings[key].text] == told[key]


def test_a_file_of_variables_wins_over_the_unit():
    """Wherever it is named (systemd.exec(5)); the last file counts, and a name may be a pattern."""
    unit = UnitFile("x.service", "[Service]\nEnvironmentFile=-/etc/default/ollama\n")
    more = UnitFile("z.conf", "[Service]\nEnvironment=A=0\nEnvironmentFile=/etc/ollama/*.env\n")
    files = [
        UnitFile("/etc/default/ollama", "# A=9\nA=1\nOLLAMA_HOST='0.0.0.0'\n\n"),
        UnitFile("/etc/ollama/b.env", ' A = "3"\n'),
        UnitFile("/etc/ollama/a.env", "A=2\n"),
        UnitFile("/etc/other", "A=4\n"),
    ]
    found = service([unit, more], files).environment
    assert (found["A"].text, found["A"].file) == ("3", "/etc/ollama/b.env")
    assert (found["OLLAMA_HOST"].text, found["OLLAMA_HOST"].file) == (
        "0.0.0.0",
        "/etc/default/ollama",
    )
    reset = UnitFile("zz.conf", "[Service]\nEnvironmentFile=\n")
    assert "OLLAMA_HOST" not in service([unit, more, reset], files).environment


def test_ours_takes_its_place_among_the_others():
    """If it already exists, the new text replaces it."""
    files = [UnitFile("/d/a.conf"), UnitFile("/d/zz.conf", "old"), UnitFile("/d/zzz.conf")]
    found = with_file(files, UnitFile("/d/zz.conf", "new"))
    assert [(one.name, one.text) for one in found] == [
        ("a.conf", ""),
        ("zz.conf", "new"),
        ("zzz.conf", ""),
    ]
    assert with_file(files[:1], UnitFile("/e/0.conf"))[0].name == "0.conf"


def test_words():
    """Split like systemd does."""
    assert words("a 'b c' \"d e\" f\\ g") == ["a", "b c", "d e", "f g"]
    assert command("@-/usr/bin/nice -n 5 x") == ["/usr/bin/nice", "-n", "5", "x"]
    assert (command(""), words("")) == ([], [])
