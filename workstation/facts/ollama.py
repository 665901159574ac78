"""The native Ollama: which release is installed, and by whom."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question


@dataclass(frozen=True)
class OllamaState:
    """``target``: where ``/usr/local/bin/ollama`` points (itself for a plain file, empty without
    one). ``releases``: the unpacked releases that are whole. ``foreign_models``: a store with
    models that install.sh's service used. ``models``: whether the configured store has any."""

    target: str = ""
    releases: tuple[str, ...] = ()
    foreign_models: str = ""
    models: bool = False


class Ollama(Fact[OllamaState]):
    """
    Returns the ``OllamaState`` of the host.

    + releases: folder of the unpacked releases
    + models: the configured model store
    """

    @staticmethod
    def default() -> OllamaState:
        return OllamaState()

    def command(self, releases: str, models: str) -> StringCommand:
        # install.sh keeps models in its user's home; a user's own drop-in may move them.
        return question(
            """
            binary=/usr/local/bin/ollama
            [ ! -e "$binary" ] || echo "target $(readlink -f "$binary")"
            for folder in "$1"/*/; do
              [ -f "$folder.complete" ] && echo "release $(basename "$folder")"
            done
            [ ! -d "$2/manifests" ] || echo models
            set -- "$2" $(systemctl show -P Environment ollama.service 2>/dev/null | tr ' ' '\\n' \\
              | sed -n 's/^OLLAMA_MODELS=//p') /usr/share/ollama/.ollama/models
            own=$1; shift
            for store; do
              if [ "$store" != "$own" ] && [ -d "$store/manifests" ]; then
                echo "foreign-models $store"; break
              fi
            done
            true
            """,
            releases,
            models,
        )

    def read(self, lines: list[str]) -> OllamaState:
        pairs = [line.partition(" ")[::2] for line in lines]
        words = dict(pairs)
        return OllamaState(
            target=words.get("target", ""),
            releases=tuple(value for word, value in pairs if word == "release"),
            foreign_models=words.get("foreign-models", ""),
            models="models" in words,
        )
