"""The model store: one folder for all services, shared through a group, read-only in containers."""

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

store = [place for place in machine.places if place.home == "store"]
files.present(
    name="Folders of the model store",
    entries=[
        files.Directory(one.path, one.mode, one.user, one.group, one.known_by) for one in store
    ],
)

files.shared_tree(
    name="Group of all models",
    path=settings.models_path,
    group=settings.store_group,
    settled=[place.path for place in store],
)
