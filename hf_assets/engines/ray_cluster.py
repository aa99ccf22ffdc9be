"""The engine for several devices, in one machine or many: Ray actors, as many as a cluster has devices."""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from hf_assets.engines.compute import ComputeSettings
from hf_assets.engines.ray_decoders import Decoder, Decoders
from hf_assets.engines.ray_driver import RayEngine
from hf_assets.engines.ray_worker import Actor
from hf_assets.engines.unit import Say
from hf_assets.errors import ModelError

# Actors wait so long for the next stage of a graph before they give their devices back.
IDLE_S = 20.0
# Decoders for which a machine has room are there by then.
DECODERS_S = 60.0


@dataclass(frozen=True)
class RayOptions:
    """How many actors, and what each of them takes.

    Attributes:
        workers: 0: one per GPU of the cluster; without GPUs, as many as have room.
        gpus: of each; 0: none, for CPUs.
        cpus: of each, which also decode; 0: beside a GPU its part of the machine's, of which Ray keeps one; without
            GPUs four, or as many as the smallest machine has.
        decoders: further actors, of CPUs only, that decode for these, wherever there are cores; 0: none.
        decoder_cpus: of each.
    """

    workers: int = 0
    gpus: float = 1.0
    cpus: float = 0.0
    decoders: int = 0
    decoder_cpus: int = 4


class Placement(NamedTuple):
    """Actors to start.

    Attributes:
        gpus, cpus: that Ray keeps for each.
        cores: of its machine that each may use: beside a GPU its part of them, though Ray keeps one only, so that
            there is room for whatever else the cluster runs.
    """

    num_actors: int
    gpus: float
    cpus: float
    cores: float


def placement(options: RayOptions, nodes: list[dict[str, float]], *, wants_cpu: bool) -> Placement:
    """How many actors of which size a cluster has room for.

    Args:
        nodes: what each machine has: `CPU`, `GPU`.
        wants_cpu: whether GPUs are to be left alone.
    """
    gpus = 0.0 if wants_cpu or not any(node.get("GPU", 0) for node in nodes) else options.gpus
    if gpus:
        with_gpus = [node for node in nodes if node.get("GPU", 0)]
        count = options.workers or sum(int(node["GPU"] / gpus) for node in with_gpus)
        part = min(node.get("CPU", 1.0) / node["GPU"] * gpus for node in with_gpus)
        return Placement(max(count, 1), gpus, options.cpus or 1, options.cpus or max(1.0, part))
    smallest = min((node["CPU"] for node in nodes if node.get("CPU")), default=1.0)
    cpus = options.cpus or min(4.0, smallest)
    room = sum(int(node.get("CPU", 0) / cpus) for node in nodes)
    return Placement(options.workers or max(1, room), 0.0, cpus, cpus)


class Pool:
    """Actors that stay for the next stage of the same graph, and no longer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: tuple[Placement, list[Any]] | None = None
        self._timer: threading.Timer | None = None

    def take(self, wanted: Placement) -> list[Any]:
        """Actors of these sizes."""
        import ray

        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            kept, self._kept = self._kept, None
        if kept is not None and kept[0] == wanted:
            return kept[1]
        if kept is not None:
            _kill(kept[1])
        remote = ray.remote(
            num_gpus=wanted.gpus,
            num_cpus=wanted.cpus,
            max_restarts=-1,
            max_task_retries=0,
            max_concurrency=8,
        )(Actor)
        return [remote.remote(number, wanted.cores) for number in range(wanted.num_actors)]

    def keep(self, wanted: Placement, actors: list[Any]) -> None:
        """Nobody needs them now."""
        with self._lock:
            self._kept = (wanted, actors)
            self._timer = threading.Timer(IDLE_S, self.clear)
            self._timer.daemon = True
            self._timer.start()

    def clear(self) -> None:
        """Give the devices back."""
        with self._lock:
            kept, self._kept = self._kept, None
            if self._timer is not None:
                self._timer.cancel()
        if kept is not None:
            _kill(kept[1])


POOL = Pool()


@contextlib.contextmanager
def workers(options: RayOptions, settings: ComputeSettings, say: Say) -> Iterator[RayEngine]:
    """Actors for the block. Whatever ends it but its own end frees the devices at once.

    Raises:
        ModelError: Ray isn't installed, or the cluster can't be reached.
    """
    ray = connect(say)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = placement(options, nodes, wants_cpu=settings.device == "cpu")
    actors = POOL.take(wanted)
    decoding = _start_decoders(options, say)
    beside = f", decoders: {len(decoding)}" if decoding else ""
    say(f"encoding with Ray (workers: {wanted.num_actors}{beside}, machines: {len(nodes)})")
    try:
        yield RayEngine(actors, settings, Decoders(decoding, options.decoder_cpus) if decoding else None)
    except BaseException:
        _kill(actors)
        raise
    finally:
        _kill(decoding)
    POOL.keep(wanted, actors)


def _start_decoders(options: RayOptions, say: Say) -> list[Any]:
    """Actors of CPUs only, on as many machines as there are; those for which no machine has room soon are left out."""
    import ray

    if not options.decoders:
        return []

    remote = ray.remote(
        num_gpus=0,
        num_cpus=options.decoder_cpus,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=options.decoder_cpus,
        scheduling_strategy="SPREAD",
    )(Decoder)
    started = [remote.remote() for _ in range(options.decoders)]
    there = {actor.is_there.remote(): actor for actor in started}
    answered, late = ray.wait(list(there), num_returns=len(there), timeout=DECODERS_S)
    if late:
        say(f"{len(late)} of {len(started)} decoders found no room of {options.decoder_cpus} cores: without them")
        _kill([there[one] for one in late])
    return [there[one] for one in answered]


def connect(say: Say) -> Any:
    """Ray, connected to the cluster that RAY_ADDRESS names, else to one of this machine.

    Raises:
        ModelError: it isn't installed, or can't be reached.
    """
    try:
        import ray
    except ImportError:
        raise ModelError(
            'the engine "ray" needs Ray: pip install "hf_assets[ray]", or unset HF_ASSETS_ENGINE'
        ) from None
    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = os.environ.get("RAY_ADDRESS")
        local: dict[str, Any] = {} if address else {"include_dashboard": False}
        try:
            ray.init(address or "local", logging_level="ERROR", log_to_driver=False, **local)
        except (ConnectionError, RuntimeError, ValueError) as error:
            line = str(error).splitlines()[0]
            raise ModelError(
                f"Ray can't be reached{f' at {address}' if address else ''} ({line}): check RAY_ADDRESS, or unset it "
                "to use this machine alone"
            ) from error
        say(f"connected to Ray at {address}" if address else "started Ray on this machine")
    return ray


def _kill(actors: list[Any]) -> None:
    import ray

    for actor in actors:
        with contextlib.suppress(Exception):  # a cluster that is gone has freed everything
            ray.kill(actor, no_restart=True)
