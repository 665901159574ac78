"""NVIDIA on the host: cards, driver, Container Toolkit, CDI devices."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question

_QUERY = "name,compute_cap,driver_version,memory.total,uuid"
# nvidia-smi of the branch 470 refuses compute_cap, and with it the whole query.
_OLD_QUERY = "name,driver_version,memory.total,uuid"


@dataclass(frozen=True)
class Card:
    """One GPU as ``nvidia-smi`` sees it; ``memory`` in MiB.

    ``compute_capability`` is empty where the driver is too old to tell.
    """

    name: str
    compute_capability: str
    driver: str
    memory: int
    uuid: str


@dataclass(frozen=True)
class GpuState:
    """``cards`` that a working driver offers; ``error``: what ``nvidia-smi`` says otherwise;
    ``pci``: PCI ids of NVIDIA display devices (``10de:2bb1``), driver or not; ``cdi``: names of
    the devices that the toolkit has described; ``probed``: what the last proof was made with."""

    cards: tuple[Card, ...] = ()
    error: str = ""
    pci: tuple[str, ...] = ()
    cdi: tuple[str, ...] = ()
    probed: str = ""


class Gpu(Fact[GpuState]):
    """Returns the ``GpuState`` of the host."""

    @staticmethod
    def default() -> GpuState:
        return GpuState()

    def command(self) -> StringCommand:
        # Class 0x03 is a display device (PCI Code and ID Assignment Specification).
        return question(
            """
            for device in /sys/bus/pci/devices/*; do
              read -r vendor 2>/dev/null <"$device/vendor" && [ "$vendor" = 0x10de ] || continue
              case $(cat "$device/class") in
                0x03*) echo "pci 10de:$(cut -c3- "$device/device")" ;;
              esac
            done
            if command -v nvidia-smi >/dev/null; then
              query() { nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits 2>&1; }
              if cards=$(query "$1") || cards=$(query "$2"); then
                printf '%s\\n' "$cards" | sed 's/^/card /'
              else
                printf '%s\\n' "$cards" | head -n 1 | sed 's/^/error /'
              fi
            fi
            if command -v nvidia-ctk >/dev/null; then
              nvidia-ctk cdi list 2>/dev/null | grep -o 'nvidia.com/gpu=.*' | sed 's/^/cdi /'
            fi
            [ ! -f /var/lib/ai-workstation/gpu-proof ] \\
              || echo "probed $(cat /var/lib/ai-workstation/gpu-proof)"
            true
            """,
            _QUERY,
            _OLD_QUERY,
        )

    def read(self, lines: list[str]) -> GpuState:
        pairs = [line.partition(" ")[::2] for line in lines]

        def of(word: str) -> list[str]:
            return [rest for key, rest in pairs if key == word]

        return GpuState(
            cards=tuple(_card(line) for line in of("card")),
            error="".join(of("error")[:1]),
            pci=tuple(of("pci")),
            cdi=tuple(of("cdi")),
            probed="".join(of("probed")[:1]),
        )


def _card(line: str) -> Card:
    name, *capability, driver, memory, uuid = (part.strip() for part in line.split(","))
    # Cards that share the system's memory have none to report: "[N/A]".
    size = int(memory) if memory.isdigit() else 0
    return Card(name, "".join(capability), driver, size, uuid)
