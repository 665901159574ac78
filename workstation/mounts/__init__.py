"""What is mounted on a host, and how it is written: ``/etc/fstab``, CIFS, the kernel's own list."""
