#!/bin/sh
# $mark: the file of images in progress, with a line for each: boot, time (UTC), image.
#
# at_work IMAGE...: adds them, before anything of them is created.
# left: the images that an earlier boot left there.
# left_since: when the first of these began, or nothing if that is unknown.
#
# A power cut damages what Docker has written but not flushed, and Docker does not notice: it leaves
# images with empty files, images without a name, or layers without an image, and treats them as
# complete. So the mark stays until everything is on disk (flush.sh). Older versions wrote a boot
# and an image in a line, or a boot alone followed by images alone.

# shellcheck disable=SC2154 # $mark is of who includes this

boot=$(cat /proc/sys/kernel/random/boot_id)
at_work() {
  mkdir -p "${mark%/*}"
  for image; do echo "$boot $(date -u +%FT%T) $image"; done >>"$mark"
  sync "$mark" "${mark%/*}"
}
left() { [ ! -f "$mark" ] || awk '$1 != boot {print $NF}' boot="$boot" "$mark"; }
left_since() { awk '$1 != boot {if (NF > 2) print $2; exit}' boot="$boot" "$mark"; }
