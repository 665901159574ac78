#!/bin/sh
. files/gpu_users/keep_gpus.sh

keep_gpus
