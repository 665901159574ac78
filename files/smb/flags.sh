#!/bin/sh
# TARGET FLAGS: gives the mount exactly these flags, separated by commas, while it is in use.
#
# With `bind`, only the mount changes, and the server is not contacted. mount(8) keeps its own record
# of the mount (-n), and takes no options from /etc/fstab. Containers get the flags when they start.

mount -n --options-mode=ignore -o "remount,bind,$2" -- "$1"
