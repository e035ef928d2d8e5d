"""Connects to Ray: a local instance of its own, or a team's cluster."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Optional

from movierec_bench.schema import ConfigError


@contextmanager
def connected(address: Optional[str], cpus: Optional[int] = None) -> Iterator[None]:
    """Keep this process connected to Ray.

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

    if address is None and ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
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
