#!/bin/sh
# The mark of images at work, $mark: a line for each, with the boot, the time (UTC) and the image.
#
# at_work IMAGE...: adds them, before anything of them is made.
# left: the images that another boot has left there.
# left_since: when the first of these began, or nothing where that is not known.
#
# A power cut damages what Docker has written and not flushed, and Docker does not notice: it leaves
# images with empty files, images without their name, layers without an image, and would take all of
# it for whole. So the mark stands until all is on the disk (flush.sh). Versions before this one
# left a boot and an image in a line, or a boot alone and then images alone.

# shellcheck disable=SC2154 # $mark is of who includes this

boot=$(cat /proc/sys/kernel/random/boot_id)
at_work() {
  mkdir -p "${mark%/*}"
  for image; do echo "$boot $(date -u +%FT%T) $image"; done >>"$mark"
  sync "$mark" "${mark%/*}"
}
left() { [ ! -f "$mark" ] || awk '$1 != boot {print $NF}' boot="$boot" "$mark"; }
left_since() { awk '$1 != boot {if (NF > 2) print $2; exit}' boot="$boot" "$mark"; }
