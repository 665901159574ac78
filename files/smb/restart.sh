#!/bin/sh
# KEPT: starts the containers that a run left without the share, once it is mounted.

kept=$1 status=0
. files/smb/restart_stopped.sh
