"""NVIDIA driver (if requested) and Container Toolkit, and a container that sees the GPU."""

from pyinfra import host

from workstation import context
from workstation.operations import docker, nvidia, packages

machine = context.load(host)
settings, pins, mirror = machine.settings, machine.pins, machine.mirror

if settings.gpu != "none":
    nvidia.driver(
        name="NVIDIA driver",
        branch=settings.nvidia_driver,
        required=settings.gpu == "required",
    )

if machine.gpu:
    packages.installed(name="Tools for NVIDIA's repository", packages=["curl", "gpg"])
    nvidia.toolkit(
        name="NVIDIA Container Toolkit",
        repository=packages.repository_of("nvidia-container-toolkit", pins.apt["nvidia"], mirror),
        version=pins.apt["nvidia"].version,
    )
    docker.daemon_config(name="Docker's NVIDIA runtime and CDI", wanted=nvidia.IN_DAEMON_JSON)
    nvidia.devices(name="Containers see the GPU", image=pins.images["gpu_probe"].ref(mirror))
