"""The hosts that lab/bench/hosts.py started, at their ports on this machine."""

import os

_shared = {
    "ssh_hostname": "127.0.0.1",
    "ssh_user": "root",
    "ssh_key": os.environ["BENCH_KEY"],
    "ssh_known_hosts_file": os.environ["BENCH_KNOWN_HOSTS"],
    "ssh_strict_host_key_checking": "yes",
}

dhoch3 = [
    (f"host{number}", {**_shared, "ssh_port": int(port)})
    for number, port in enumerate(os.environ["BENCH_PORTS"].split(), 1)
]
