"""Stand-in for huggingface_guess."""


def guess_repo_name(_: object) -> str:
    """Return no repository."""
    return ""
