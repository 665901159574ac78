"""The benchmark: a run that changes nothing, by this project, by Ansible and by plain pyinfra."""
