"""Extends pyinfra to turn a wiped machine into an AI workstation.

Modules in this folder and its subfolders are pure: they neither import pyinfra nor touch a host.
Exceptions are ``facts`` and ``operations``, pyinfra's own terms, and ``hooks``, ``ssh`` and
``lock``, which take part in its runs.
"""
