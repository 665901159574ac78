"""The model store: one folder for all services, shared by a group, read-only in containers."""

from pyinfra import host

from workstation import context
from workstation.operations import accounts, disks, files

machine = context.load(host)
settings = machine.settings

if machine.needs.disks:
    disks.mounted(name="Disks are mounted", folders=machine.needs.disks)

accounts.shared_identity(
    name="User and group of the services",
    user=settings.service_user,
    uid=settings.service_uid,
    group=settings.service_group,
    gid=settings.service_gid,
)

# Those that every host has, and what stacks mount alone.
mounted = [
    folder
    for stack in machine.stacks()
    for folder in stack.model.folders_below(settings.models_path)
]
folders = [
    settings.models_path,
    *(
        f"{settings.models_path}/{folder}"
        for folder in dict.fromkeys([*settings.models_folders, *mounted])
    ),
]
files.present(
    name="Folders of the model store",
    entries=[files.Directory(path, mode="2775", group=settings.store_group) for path in folders],
)

files.shared_tree(
    name="Group of all models",
    path=settings.models_path,
    group=settings.store_group,
    settled=folders,
)
