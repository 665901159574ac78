"""A deploy that changes nothing: exports what the tasks ask of a machine, for the benchmark.

Run as ``pyinfra inventory.py lab/bench/record.py -y`` on a machine that has converged.
"""

from pyinfra import host, local

from lab.bench import wanted
from lab.bench.contestants import TASKS
from lab.paths import REPOSITORY

recorder = wanted.Recorder(host)
recorder.install()
for task in TASKS:
    local.include(str(REPOSITORY / task))
wanted.export(recorder.finish())
