"""Connects to Ray: a local instance of its own, or a team's cluster."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Optional

from movierec_bench.schema import ConfigError


@contextmanager
def connected(address: Optional[str], cpus: Optional[int] = None) -> Iterator[None]:
    """Keep this process connected to Ray; a connection to the same Ray that it has already is used and left open.

    Args:
        address: of a cluster, ``HOST:PORT`` or ``auto``; None: the connection that this process has already, or
            else an instance on this machine alone that ends with the block.
        cpus: cores that a new local instance counts; None: all of them.

    Raises:
        ConfigError: there is no cluster at that address.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # by Ray 2.6, on import
        import ray

    if ray.is_initialized() and address in (None, ray.get_runtime_context().gcs_address):
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            with _loopback_only():
                ray.init("local", num_cpus=cpus, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"no connection to Ray at {address or 'this machine'}: {error}; expected HOST:PORT of a cluster that runs, "
            "as `ray start --head` prints it, and that this process has no other Ray session"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Ray that is started in this block listens on 127.0.0.1 alone.

    Otherwise Ray replaces that address by this machine's on its network, and listens to everyone.
    """
    from ray._private import ray_constants

    name, before = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", ray_constants.ENABLE_RAY_CLUSTER
    told = os.environ.get(name)
    ray_constants.ENABLE_RAY_CLUSTER, os.environ[name] = False, "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        if told is None:
            del os.environ[name]
        else:
            os.environ[name] = told
