#!/bin/sh
# FOLDER: whether it is a separate disk.

seen=$(findmnt -n -o SOURCE,FSTYPE -M "$1" | tail -n 1)
# A link to a folder of another disk than the system's will do.
[ -n "$seen" ] || [ ! -L "$1" ] \
  || seen=$(findmnt -n -o TARGET,SOURCE,FSTYPE -T "$1" | awk '$1 != "/" {print $2, $3}')
echo "${seen:-nothing is mounted there}"
[ -n "$seen" ]
