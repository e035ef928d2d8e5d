"""The packages of a wheel, found rather than listed; everything else stands in setup.cfg."""

from setuptools import find_namespace_packages, setup

PACKAGE, CONFIGS = "movierec_bench", "recbole_configs"  # the second lies inside the first in a wheel
folders = {
    f"{PACKAGE}.{CONFIGS}": CONFIGS,
    **{f"{PACKAGE}.{CONFIGS}.{name}": f"{CONFIGS}/{name}" for name in find_namespace_packages(CONFIGS)},
}
packages = find_namespace_packages(include=[PACKAGE, f"{PACKAGE}.*"], exclude=["*.__pycache__"])

setup(packages=[*packages, *folders], package_dir=folders)
