"""Stand-in for BiRefNet's configuration: what a program reads or changes of it."""


class Config:
    def __init__(self) -> None:
        self.bb = "swin_v1_l"
        self.lateral_channels_in_collection = [3072, 1536, 768, 384]
        self.cxt_num = 3
        self.cxt = self.lateral_channels_in_collection[1:][::-1][-self.cxt_num :]
