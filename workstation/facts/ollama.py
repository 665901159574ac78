"""The native Ollama: which release is installed, by whom, and what its unit says."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from pyinfra.api import StringCommand

from workstation.facts.shell import Fact, question
from workstation.unit_files import UnitFile, drop_ins


@dataclass(frozen=True)
class OllamaState:
    """``target``: where ``/usr/local/bin/ollama`` points (itself for a plain file, empty without
    one). ``releases``: the unpacked releases that are whole. ``foreign_models``: a store with
    models that install.sh's service used. ``models``: whether the configured store has any.
    ``libraries``: whether there is a ``/usr/local/lib/ollama``, as of install.sh.

    ``unit``: the file of ``ollama.service`` that counts, None without one; ``drop_ins``: in
    systemd's order; ``variables``: the files that ``EnvironmentFile=`` names, with Ollama's own
    variables; ``masked``: the link to ``/dev/null`` in the unit's place; ``met``, ``unmet``: the
    conditions of drop-ins that hold now or do not, as they stand, where systemd can be asked."""

    target: str = ""
    releases: tuple[str, ...] = ()
    foreign_models: str = ""
    models: bool = False
    libraries: bool = False
    unit: UnitFile | None = None
    drop_ins: tuple[UnitFile, ...] = ()
    variables: tuple[UnitFile, ...] = ()
    masked: str = ""
    met: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()


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
        # Models are in the home of the service's user, unless its unit says otherwise: install.sh
        # and distributions have homes of their own. Of files of variables only Ollama's own leave
        # the host, and none that may be a secret.
        return question(
            r"""
            binary=/usr/local/bin/ollama
            [ ! -e "$binary" ] || echo "target $(readlink -f "$binary")"
            [ ! -e /usr/local/lib/ollama ] || echo libraries
            for folder in "$1"/*/; do
              [ -f "$folder.complete" ] && echo "release $(basename "$folder")"
            done
            [ ! -d "$2/manifests" ] || echo models
            own=$2
            moved=$(answered systemctl show -P Environment ollama.service 2>/dev/null \
              | xargs -r -n 1 printf '%s\n' 2>/dev/null | sed -n 's/^OLLAMA_MODELS=//p' | tail -n 1)
            home=$(answered getent passwd ollama | cut -d: -f6)
            for store in "$moved" /usr/share/ollama/.ollama/models "${home:-/}/.ollama/models"; do
              if [ -n "$store" ] && [ "$store" != "$own" ] && [ -d "$store/manifests" ]; then
                echo "foreign-models $store"; break
              fi
            done

            told() { printf '%s %s' "$1" "$(printf %s "$2" | base64 -w0)"; }
            folders=$(systemd-analyze unit-paths 2>/dev/null)
            [ -n "$folders" ] || for folder in etc run usr/local/lib usr/lib; do
              folders="$folders /$folder/systemd/system"
            done
            unit=
            for folder in $folders; do
              file=$folder/ollama.service
              if [ -z "$unit" ] && [ -L "$file" ] && [ "$(readlink -f "$file")" = /dev/null ]; then
                unit=$file; echo "masked $file"
              elif [ -z "$unit" ] && [ -f "$file" ]; then
                unit=$file; echo "$(told unit "$file") $(base64 -w0 "$file")"
              fi
              for file in "$folder"/ollama.service.d/*.conf "$folder"/service.d/*.conf; do
                [ ! -e "$file" ] || echo "$(told drop-in "$file") $(base64 -w0 "$file")"
                [ ! -e "$file" ] || echo "$file" >>"$answers/drop-ins"
              done
            done
            [ -z "$unit" ] || echo "$unit" >>"$answers/drop-ins"
            blank='[[:space:]]*'
            word='(Condition|Assert)[A-Za-z]+' value='.*[^[:space:]]'
            [ ! -e "$answers/drop-ins" ] || xargs -r -d '\n' <"$answers/drop-ins" \
              sed -nE "s/^$blank($word)$blank=$blank($value)$blank\$/\1=\3/p" \
              | sort -u | head -n 50 | while IFS= read -r line; do
                said=$(limited 10 sh -c 'exec "$@" 2>&1' sh systemd-analyze condition \
                  "$(printf '%s' "$line" | sed 's/=|/=/')")
                case $said in
                  *'s succeeded.'*) echo "met $line" ;;
                  *'s failed.'*) echo "unmet $line" ;;
                esac
              done
            [ ! -e "$answers/drop-ins" ] || xargs -r -d '\n' <"$answers/drop-ins" \
              sed -n "s/^${blank}EnvironmentFile$blank=$blank//p" \
              | while read -r pattern; do
                for file in ${pattern#-}; do
                  [ ! -f "$file" ] || echo "$(told variables "$file") $(
                    grep -E '^[[:space:]]*OLLAMA_' "$file" \
                      | grep -viE 'key|token|secret|password' | base64 -w0)"
                done
              done
            true
            """,
            releases,
            models,
        )

    def read(self, lines: list[str]) -> OllamaState:
        pairs = [line.partition(" ")[::2] for line in lines]
        words = dict(pairs)
        unit = _files(pairs, "unit")
        return OllamaState(
            target=words.get("target", ""),
            releases=tuple(value for word, value in pairs if word == "release"),
            foreign_models=words.get("foreign-models", ""),
            models="models" in words,
            libraries="libraries" in words,
            unit=unit[0] if unit else None,
            drop_ins=tuple(drop_ins(_files(pairs, "drop-in"))),
            variables=tuple(_files(pairs, "variables")),
            masked=words.get("masked", ""),
            met=tuple(value for word, value in pairs if word == "met"),
            unmet=tuple(value for word, value in pairs if word == "unmet"),
        )


def _files(pairs: list[tuple[str, str]], wanted: str) -> list[UnitFile]:
    """Return the files that an answer tells by one word, each path and text in base64."""
    files = []
    for word, rest in pairs:
        if word == wanted:
            path, _, text = rest.partition(" ")
            decoded = [base64.b64decode(one).decode(errors="replace") for one in (path, text)]
            files.append(UnitFile(*decoded))
    return files
