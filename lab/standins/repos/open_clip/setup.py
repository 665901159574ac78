"""Stand-in for open_clip."""

from setuptools import find_packages, setup

setup(
    name="open_clip_torch", version="2.20.0", package_dir={"": "src"}, packages=find_packages("src")
)
