"""Preflight: every problem is reported before anything is changed."""

from pyinfra import host

from workstation import context
from workstation.operations import preflight

preflight.check(host, context.load(host))
