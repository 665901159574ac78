#!/bin/sh
# KEPT: starts the containers that a run has left without the share, which is mounted.

kept=$1 status=0
. files/smb/restart_stopped.sh
