"""Stand-in for sd-scripts."""

from setuptools import find_packages, setup

setup(name="library", packages=find_packages())
