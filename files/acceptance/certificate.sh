#!/bin/sh
# ADDRESS:PORT NAME...: the certificate that the proxy shows for each name: whether it is for the name, and
# until when. It should have been renewed when two thirds of its life were over.

at=$1; shift
command -v openssl >/dev/null || { echo "openssl is not installed"; exit 1; }
bad=
for name; do
  shown=$(timeout 60 openssl s_client -connect "$at" -servername "$name" </dev/null \
    2>/dev/null | openssl x509 2>/dev/null)
  [ -n "$shown" ] || { bad="$bad
$name: no certificate"; continue; }
  about() { printf '%s\n' "$shown" | openssl x509 -noout "$@"; }
  begins=$(date -d "$(about -startdate | cut -d= -f2-)" +%s)
  ends=$(date -d "$(about -enddate | cut -d= -f2-)" +%s)
  until=$(date -u -d "@$ends" +%F)
  case $(about -checkhost "$name") in
    *"does match"*) ;;
    *) bad="$bad
$name: the certificate is for another name, $(about -subject | cut -d= -f2-)" ;;
  esac
  left=$((ends - $(date +%s)))
  if [ "$left" -lt 0 ]; then
    bad="$bad
$name: expired on $until"
  elif [ $((left * 3)) -lt $((ends - begins)) ]; then
    bad="$bad
$name: until $until, should have been renewed"
  fi
done
[ -z "$bad" ] || { printf '%s\n' "$bad" | sed 1d; exit 1; }
echo "valid until $until for all names"
