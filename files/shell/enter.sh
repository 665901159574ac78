#!/bin/sh
# enter FOLDER [make]: makes a folder the current one, given by its real path; with a second word,
# it creates missing folders on the way. Fails if anything on the way is a link.
#
# Whoever may write to one of these folders could exchange an entry for a link while root works
# there. What is the current folder stays the same one, wherever its name leads by then, so each is
# entered from the one above, and cd -P asks the kernel where that led.

enter() {
  cd / || return 1
  rest=$1 at=
  while [ -n "$rest" ]; do
    name=${rest%%/*}; rest=${rest#"$name"}; rest=${rest#/}
    [ -n "$name" ] || continue
    at=$at/$name
    if [ -n "$2" ] && [ ! -d "./$name" ]; then mkdir -- "./$name" || return 1; fi
    cd -P -- "./$name" || return 1
    [ "$PWD" = "$at" ] || { echo "$at now leads to $PWD" >&2; return 1; }
  done
}
