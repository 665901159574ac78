"""Stand-in for BiRefNet: a network without layers."""

from config import Config


class BiRefNet:
    def __init__(self, bb_pretrained: bool = True) -> None:
        self.config = Config()

    def load_state_dict(self, values: dict, strict: bool = True) -> None:
        raise RuntimeError("Error(s) in loading state_dict for BiRefNet: it is a stand-in")
