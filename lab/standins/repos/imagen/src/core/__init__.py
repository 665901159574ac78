from src.core.config import settings
from src.core.logging import logger

__all__ = ["logger", "settings"]
