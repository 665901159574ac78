#!/usr/bin/env bash
# RELEASES MODELS: folders of the unpacked releases and of the configured store.
#
# Models are in the home of the service's user, unless its unit says otherwise: install.sh and
# distributions use different homes. Of environment files, only Ollama's own variables leave the
# host, and none that may be a secret.

. files/shell/limited.sh

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
