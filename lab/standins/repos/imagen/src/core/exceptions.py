class ImagenError(Exception):
    pass


class StorageError(ImagenError):
    pass


class QueueError(ImagenError):
    pass


class JobNotFoundError(ImagenError):
    pass
