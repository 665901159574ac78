"""The one machine, as the benchmark names it."""

import json
import os

machine = [("workstation", json.loads(os.environ["BENCH_TARGET"]))]
