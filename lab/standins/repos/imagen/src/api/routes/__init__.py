from src.api.routes import health, images, jobs

__all__ = ["health", "images", "jobs"]
