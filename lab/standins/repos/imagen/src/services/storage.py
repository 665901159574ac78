"""Pictures: in Google's object store, or while developing in a folder."""

import io
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from google.cloud import storage
from PIL import Image

from src.core.config import settings
from src.core.exceptions import StorageError


@contextmanager
def _as_storage_error(what):
    try:
        yield
    except Exception as error:
        raise StorageError(f"{what}: {error}") from error


class GCSStorageService:
    def __init__(self, bucket_name=None):
        self.bucket_name = bucket_name or settings.gcs_bucket
        self._client = None
        self._bucket = None

    @property
    def client(self):
        self._client = self._client or storage.Client()
        return self._client

    @property
    def bucket(self):
        self._bucket = self._bucket or self.client.bucket(self.bucket_name)
        return self._bucket

    def upload_image(self, image, path, format="PNG"):  # noqa: A002 (its name for callers)
        with _as_storage_error("not stored"):
            content = io.BytesIO()
            image.save(content, format=format)
            kind = f"image/{format.lower()}"
            self.bucket.blob(path).upload_from_file(content, rewind=True, content_type=kind)
        return f"gs://{self.bucket_name}/{path}"

    def download_image(self, path):
        with _as_storage_error("not read"):
            return Image.open(io.BytesIO(self.bucket.blob(path).download_as_bytes()))

    def get_signed_url(self, path, expiration_hours=1):
        """Sign with credentials, which nobody has who uses an emulator."""
        with _as_storage_error("not signed"):
            until = timedelta(hours=expiration_hours)
            return self.bucket.blob(path).generate_signed_url(expiration=until)

    def delete(self, path):
        with _as_storage_error("not deleted"):
            self.bucket.blob(path).delete()


class LocalFileSystemStorage:
    def upload_image(self, image, path, format="PNG"):  # noqa: A002 (its name for callers)
        target = Path("storage", path)
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save(target, format=format)
        return str(target)

    def download_image(self, path):
        return Image.open(Path("storage", path))

    def get_signed_url(self, path, expiration_hours=1):
        return Path("storage", path).absolute().as_uri()

    def delete(self, path):
        Path("storage", path).unlink()


def get_storage_service():
    return (GCSStorageService if settings.is_production() else LocalFileSystemStorage)()
