"""A logger with a handler of its own. It also passes lines on, so the root's writes them again."""

import logging
import sys

logger = logging.getLogger("imagen")
logger.setLevel(logging.INFO)
if not logger.handlers:
    logger.addHandler(logging.StreamHandler(sys.stdout))
