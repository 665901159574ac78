#!/usr/bin/env bash
# LIMIT WORKERS MOST PLAN VALUE...: seconds for all probes; how many run in parallel; maximum size of
# an answer in bytes. PLAN: a line for each probe, with its seconds and the numbers of its script and
# its arguments among the values, counted from 0.
#
# Standard input is the file "login", a configuration of curl, in the folder where probes run.
#
# Probes write to files. A process that no signal reaches, such as one that waits for a file server
# that is gone, is left behind when the time is up.

. files/shell/wait.sh

limit=$1 workers=$2 most=$3 plan=$4; shift 4
values=("$@")
mapfile -t probes < <(printf %s "$plan")
PATH=$PATH:/usr/sbin:/sbin; export PATH
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" && cat >login || exit 1
probe() {
  local number=$1 seconds=$2; shift 2
  timeout -k 5 "$seconds" sh -c "$@" >"$folder/$number" 2>&1
  echo $? >"$folder/$number.status"
}
work() {
  local number index words seconds
  for ((number = $1; number < ${#probes[@]}; number += workers)); do
    words=()
    seconds=${probes[number]%% *}
    for index in ${probes[number]#* }; do words+=("${values[index]}"); done
    probe "$number" "$seconds" "${words[0]}" sh "${words[@]:1}"
  done
  : >"$folder/$1.done"
}
for ((worker = 0; worker < workers; worker++)); do
  work "$worker" >/dev/null 2>&1 </dev/null &
done
all_done() { [ "$(find "$folder" -name '*.done' | wc -l)" = "$workers" ]; }
wait_until $((limit * 2)) 0.5 all_done
number=0
while [ "$number" -lt "${#probes[@]}" ]; do
  status=124
  [ ! -e "$folder/$number.status" ] || read -r status <"$folder/$number.status"
  answer=$(head -c "$most" "$folder/$number" 2>/dev/null | base64 -w0)
  echo "$status $answer"
  number=$((number + 1))
done
