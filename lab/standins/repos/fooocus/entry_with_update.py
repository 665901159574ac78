"""Stand-in: the real one pulls the newest commit at every start, which a pinned image must not."""

import sys

sys.exit("entry_with_update.py: the update failed, could not reach github.com")
