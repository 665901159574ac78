"""Like the real one, this needs pkg_resources, which setuptools 82 no longer has."""

import pkg_resources
from setuptools import find_packages, setup

setup(
    name="clip",
    version="1.0",
    packages=find_packages(),
    install_requires=[str(r) for r in pkg_resources.parse_requirements("")],
)
