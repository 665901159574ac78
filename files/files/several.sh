#!/bin/sh
# several: find's test that leaves out files with several names, where the kernel lets anyone give
# any file another name; nothing elsewhere.

several() { [ "$(cat /proc/sys/fs/protected_hardlinks)" = 1 ] || echo -links 1; }
