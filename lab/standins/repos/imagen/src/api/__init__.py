from src.api.main import app

__all__ = ["app"]
