"""The connection to a Ray cluster, and the check that its nodes compute what this machine would."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Optional

from movierec_bench.environment import restored_environment
from movierec_bench.errors import ConfigError
from movierec_bench.runs.opening import package_versions

_LOOPBACK = "127.0.0.1"
_REACH_SECONDS = 10.0  # for the head to answer
_PROBE_SECONDS = 120.0  # for every node to start a Python process
_JOIN = (
    "expected HOST:PORT of a running cluster's head, or auto; start one with `ray start --head`, and run this "
    "command on a machine that has joined it (`ray start --address=HOST:PORT`)"
)


@contextmanager
def connected(address: Optional[str], cpus: Optional[int] = None) -> Iterator[None]:
    """A connection of this process to Ray, ended with the block.

    A connection to the same cluster that is already there is used and left open.

    Args:
        address: HOST:PORT of a cluster's head, or ``auto`` for the cluster this machine has joined. None: a Ray
            of its own on this machine, which listens on 127.0.0.1 only and has no dashboard.
        cpus: CPUs of that Ray of its own; all of the machine's when None.

    Raises:
        ConfigError: no cluster answers there, or a node has another Python, other packages or other code of
            ours than this machine.
    """
    ray = _import_ray()
    if ray.is_initialized():
        _check_same_cluster(address, ray.get_runtime_context().gcs_address)
        yield
        return
    with restored_environment("RAY_AUTH_MODE"):  # newer Rays set it, and leave it there
        if address is None:
            where = {"address": "local", "num_cpus": cpus, "include_dashboard": False, "_node_ip_address": _LOOPBACK}
        else:
            address = _joined_cluster() if address == "auto" else address
            where = {"address": address}
        on_loopback = address is None or _answers_on_loopback_only(address)
        try:
            with _loopback_only() if on_loopback else nullcontext():
                ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray raises that very class where a node is not up after half a minute
            where_to = _JOIN if address is not None else "a machine with more to spare starts it in seconds; try again"
            raise ConfigError(f"no connection to Ray at {address or _LOOPBACK}: {error}; {where_to}") from error
        try:
            if address is not None:
                _check_nodes()
            yield
        finally:
            ray.shutdown()


def alive_nodes() -> list[dict[str, Any]]:
    """Ray's records of the cluster's living nodes: NodeID, NodeManagerAddress, Resources and more."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def has_room(asked: Mapping[str, float]) -> bool:
    """Whether a living node has what ``catalog.resources`` asks for, in use or not."""
    nodes = [node["Resources"] for node in alive_nodes()]
    return any(all(amount <= node.get(name.upper(), 0) for name, amount in asked.items()) for node in nodes)


def in_words(asked: Mapping[str, float]) -> str:
    """What ``catalog.resources`` asks for, such as "4 CPU and 1 GPU"."""
    return " and ".join(f"{amount:g} {name.upper()}" for name, amount in asked.items() if amount)


def on_node(node_id: str) -> Any:
    """Ray's scheduling strategy for one node and no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def environment() -> dict[str, str]:
    """What numbers depend on besides data and settings: versions by package, Python's, and a hash of our code."""
    package = Path(__file__).parents[1]
    code = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        code.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return {
        "Python": platform.python_version(),
        **package_versions(),
        "code of movierec_bench": code.hexdigest()[:16],
    }


def difference(found: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """How a node's `environment` differs from the expected one, after "node N": empty when it does not."""
    others = [name for name in expected if name in found and found[name] != expected[name]]
    if not others:
        return ""
    return (
        f"has {', '.join(f'{name} {found[name]}' for name in others)}; expected "
        f"{', '.join(f'{name} {expected[name]}' for name in others)}, as where the run was started; "
        "install the same environment on every node and start Ray there again"
    )


def _import_ray() -> Any:
    with warnings.catch_warnings():  # Ray 2.6 imports pkg_resources, which warns of its own end
        warnings.simplefilter("ignore", UserWarning)
        import ray
    return ray


def _check_same_cluster(wanted: Optional[str], there: str) -> None:
    if wanted is None or wanted == "auto" or _host_and_port(wanted) == _host_and_port(there):
        return
    raise ConfigError(f"this process is connected to Ray at {there}; expected {wanted}; call ray.shutdown() first")


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdigit():
        raise ConfigError(f"--ray is {address!r}; {_JOIN}")
    try:
        return socket.gethostbyname(host), int(port)
    except OSError as error:
        raise ConfigError(f"--ray is {address!r}, and no host is called {host} ({error}); {_JOIN}") from error


def _joined_cluster() -> str:
    """HOST:PORT of the cluster this machine has joined; found here and not by ``ray.init``, so as to ask it first."""
    from ray._private import services

    try:
        return str(services.get_ray_address_from_environment("auto", None))
    except ConnectionError as error:
        raise ConfigError(f"--ray is 'auto', and this machine has joined no Ray cluster; {_JOIN}") from error


def _answers_on_loopback_only(address: str) -> bool:
    """Whether the cluster's head listens on 127.0.0.1 alone.

    Raises:
        ConfigError: nothing answers there like a head. ``ray.init`` would find out too, after minutes.
    """
    host, port = _host_and_port(address)
    # Ray takes 127.0.0.1 for this machine's address on its network.
    outside = _import_ray().util.get_node_ip_address() if host == _LOOPBACK else host
    refusal = _refusal(outside, port)
    if refusal and host == _LOOPBACK and not _refusal(host, port):
        return True
    if refusal:
        raise ConfigError(f"no Ray cluster answers at {address} ({refusal}); {_JOIN}")
    return False


def _refusal(host: str, port: int) -> str:
    """Why what listens there cannot be a cluster's head, empty when it can.

    A head is a gRPC server, which answers HTTP/2's opening words with a settings frame (RFC 9113, sections
    3.4 and 6.5: type 4, in the fourth byte).
    """
    try:
        with socket.create_connection((host, port), timeout=_REACH_SECONDS) as connection:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        return str(error)
    return "" if answer[3:4] == b"\x04" else "something else listens there"


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Ray that is started or joined in this block stays on 127.0.0.1, and reports its usage to nobody.

    Ray replaces a 127.0.0.1 it is given by this machine's address on its network, and its servers then listen to
    everyone, unless this switch is set as on a Mac; the environment tells the processes Ray starts.
    """
    from ray._private import ray_constants

    told = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    before = ray_constants.ENABLE_RAY_CLUSTER
    with restored_environment(*told):
        ray_constants.ENABLE_RAY_CLUSTER = False
        os.environ.update(told)
        try:
            yield
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = before


def _check_nodes() -> None:
    """The numbers of a board must not depend on the node where a model ran."""
    import ray

    def environment_there() -> dict[str, str]:  # nested, so that its code travels: a node may lack our package
        try:
            from movierec_bench.execution.ray_cluster import environment
        except ImportError as error:
            return {"movierec_bench": f"not installed ({error})"}
        return environment()

    probe: Any = ray.remote(num_cpus=0, max_retries=0)(environment_there)
    asked = {
        probe.options(scheduling_strategy=on_node(node["NodeID"])).remote(): node["NodeManagerAddress"]
        for node in alive_nodes()
    }
    answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=_PROBE_SECONDS)
    expected = environment()
    for reference in answered:
        try:
            differs = difference(ray.get(reference), expected)
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.TaskUnschedulableError):
            continue  # the node has died meanwhile; nothing will run there
        if differs:
            raise ConfigError(f"node {asked[reference]} {differs}")
    if silent:
        raise ConfigError(
            f"node {asked[silent[0]]} started no Python process within {_PROBE_SECONDS:.0f} seconds; expected a "
            "working node; see Ray's logs there, or take it out of the cluster with `ray stop`"
        )
