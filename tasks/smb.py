"""The share for outputs: mounted by fstab, with a folder for each service that writes to it; not
needed if none does."""

from pyinfra import host

from workstation import context
from workstation.mounts.credentials import credentials_file
from workstation.operations import files, smb

machine = context.load(host)
settings = machine.settings

if machine.needs.share:
    settings.require(*context.SHARE)
    credentials = files.File(
        smb.credentials_path(settings),
        credentials_file(
            settings.smb_user, settings.smb_password.get_secret_value(), settings.smb_domain
        ),
        mode="600",
        secret=True,
    )

    smb.share(
        name=f"{settings.smb_unc} on {settings.smb_mount}",
        settings=settings,
        credentials=credentials,
        folders=sorted(
            place.path.removeprefix(f"{settings.smb_mount}/")
            for place in machine.places
            if place.home == "share"
        ),
    )
