"""What pyinfra lacks to turn a wiped machine into an AI workstation.

The modules of this folder and its rooms are pure: they neither import pyinfra nor touch a host.
``facts`` and ``operations`` are pyinfra's own terms and do; ``hooks`` takes part in its runs.
"""
