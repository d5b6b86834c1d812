"""What is run, against whom, in which order: servers that are compared take turns."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import measures
from .bench import Bench, Rig
from .contenders import FLASK_SOCKETIO, LIMIT, NODE_WS, WSFLASK, Contender, contender
from .generator import GeneratorFailed
from .peers import PEERS
from .results import Results, Sample
from .servers import ServerFailed

__all__ = ["FULL", "QUICK", "SMOKE", "Sizes", "Suite"]

#: Messages that one request sends to each client in the workload of bursts.
BURST = 16

_FAILURES = (ServerFailed, GeneratorFailed, OSError)
#: Seconds after which a server that a slow reader has stopped is given up.
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is done of everything."""

    #: Clients at once, in all but the workloads that count them.
    clients: int = 1000
    #: Turns of servers that are compared, those in which clients connect, and fresh servers whose memory is looked at.
    turns: int = 5
    connects: int = 5
    fresh: int = 3
    #: Samples of a server with a slow reader and one without, for each of two servers that trade places.
    pairs: int = 10
    #: How long one sample of a fan-out or of an echo takes, and one beside a slow reader.
    seconds: float = 1.0
    pair_seconds: float = 0.35
    growth: tuple[int, ...] = (100, 1000, 5000, 10_000)
    crowd: int = 10_000
    #: How long the crowd is watched at rest.
    rest: float = 10.0

    @property
    def users(self) -> int:
        """How many sessions are needed at once."""
        return max(self.clients, self.crowd, *self.growth) + measures.WARM_CLIENTS


FULL = Sizes()
QUICK = Sizes(turns=9, seconds=0.45, growth=(0,), crowd=0)
SMOKE = Sizes(
    clients=40, turns=1, connects=1, fresh=1, pairs=1, seconds=0.05, pair_seconds=0.05, growth=(40,), crowd=50, rest=0.5
)


@dataclass(frozen=True, slots=True)
class _Workload:
    name: str
    run: Callable[[Rig], dict[str, Any]]
    #: The servers that take part; None: all.
    only: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """The workloads, over one bench; each adds its samples to the results."""

    bench: Bench
    sizes: Sizes
    results: Results

    # --- the parts

    def main(self, names: Sequence[str], *, bursts: Collection[str] | None, echoes: Collection[str] | None) -> None:
        """Fan-out, bursts and echo, by servers that take turns."""
        seconds = self.sizes.seconds
        workloads = [
            _Workload("fanout", partial(measures.fan_out, seconds=seconds)),
            _Workload("burst", partial(measures.fan_out, seconds=seconds, burst=BURST), bursts),
            _Workload("echo", partial(measures.echo, seconds=seconds), echoes),
        ]
        self._match([contender(name) for name in names], workloads)

    def compression(self, names: Sequence[str]) -> None:
        """Fan-out to clients that offer compression, beside the limit without any."""
        workload = _Workload("compression", partial(measures.fan_out, seconds=self.sizes.seconds))
        self._match([contender(LIMIT), *(contender(name, deflate=True) for name in names)], [workload])

    def compressed_memory(self, names: Sequence[str]) -> None:
        """What a client that offers compression costs in memory, once it has got messages."""
        run = partial(measures.idle, clients=self.sizes.clients, rounds=5)
        self._afresh("compressed_memory", [contender(name, deflate=True) for name in names], run)

    def idle(self, names: Sequence[str]) -> None:
        """What an idle client costs in memory."""
        run = partial(measures.idle, clients=self.sizes.clients)
        self._afresh("idle", [contender(name) for name in names], run)

    def connects(self, contenders: Sequence[Contender]) -> None:
        """How many clients come in a second."""

        def prepare(rig: Rig) -> None:
            measures.connects(rig, clients=min(measures.WARM_CLIENTS, self.sizes.clients))

        run = partial(measures.connects, clients=self.sizes.clients)
        self._match(contenders, [_Workload("connects", run)], turns=self.sizes.connects, prepare=prepare)

    def slow_reader(self, names: Sequence[str]) -> None:
        """What one client that does not read costs the others."""
        for name in names:
            one = partial(self.bench.rig, contender(name), timeout=_PATIENCE)
            with self._noting("slow_reader", name), one() as first, one() as second:
                for rig in (first, second):
                    rig.load.connect(self.sizes.clients)
                    measures.warm_up(rig)
                for place, (free, slowed) in enumerate(((first, second), (second, first))):
                    pairs = measures.slow_reader(free, slowed, pairs=self.sizes.pairs, seconds=self.sizes.pair_seconds)
                    for pair, figures in enumerate(pairs):
                        self._sample("slow_reader", name, self.sizes.clients, f"{place}/{pair}", figures)
                    if not all(figures["share"] for figures in pairs):
                        break

    def growth(self, names: Sequence[str]) -> None:
        """Fan-out to few and to many clients."""
        workload = _Workload("growth", partial(measures.fan_out, seconds=self.sizes.seconds))
        for clients in self.sizes.growth:
            self._match([contender(name) for name in names], [workload], clients=clients)

    def crowd(self) -> None:
        """Very many signed-in clients of wsflask: their memory, the CPU at rest, a message to all."""
        run = partial(measures.crowd, clients=self.sizes.crowd, rest=self.sizes.rest)
        self._afresh("crowd", [contender(WSFLASK)], run, clients=self.sizes.crowd)

    # --- the whole

    def quick(self) -> None:
        """Run what the goals are about."""
        self.main([LIMIT, WSFLASK, FLASK_SOCKETIO, NODE_WS], bursts={LIMIT, WSFLASK}, echoes={WSFLASK, NODE_WS})
        self.compression([WSFLASK])
        self.connects([contender(WSFLASK), contender(FLASK_SOCKETIO, login=True)])
        self.idle([WSFLASK])
        self.slow_reader([WSFLASK])

    def full(self) -> None:
        """Run everything."""
        others = [name for name in PEERS if name not in (FLASK_SOCKETIO, NODE_WS)]
        self.main([LIMIT, WSFLASK, FLASK_SOCKETIO, NODE_WS], bursts=None, echoes=None)
        for names in (["limit_join", "limit_python"], *_chunks(others)):
            self.main([LIMIT, *names], bursts=None, echoes=None)
        deflating = [name for name in PEERS if PEERS[name].deflate_on is not None]
        for names in _chunks([WSFLASK, *deflating]):
            self.compression(names)
        self.compressed_memory([WSFLASK, *deflating])
        self.idle([WSFLASK, *PEERS, LIMIT, "limit_python"])
        signed_in = [contender(name) for name in (WSFLASK, "wsflask_database")]
        self.connects([*signed_in, contender(FLASK_SOCKETIO), contender(FLASK_SOCKETIO, login=True)])
        for names in _chunks([LIMIT, "limit_python", NODE_WS, *others]):
            self.connects([contender(name) for name in names])
        self.slow_reader([WSFLASK, *PEERS])
        self.growth([LIMIT, WSFLASK, FLASK_SOCKETIO, NODE_WS])
        self.crowd()

    def smoke(self) -> None:
        """Run each workload that needs nothing but the project itself, far too short to mean anything."""
        self.main([LIMIT, WSFLASK], bursts=None, echoes=None)
        self.connects([contender(WSFLASK)])
        self.slow_reader([LIMIT])
        self.crowd()

    # --- how

    def _match(
        self,
        contenders: Sequence[Contender],
        workloads: Sequence[_Workload],
        *,
        clients: int | None = None,
        turns: int | None = None,
        prepare: Callable[[Rig], None] | None = None,
    ) -> None:
        """Run the servers side by side; in each turn each of them has each workload once, in changing order."""
        size = clients or self.sizes.clients
        with contextlib.ExitStack() as stack:
            rigs: list[Rig] = []
            for each in contenders:
                with self._noting(workloads[0].name, each.name):
                    rig = stack.enter_context(self.bench.rig(each))
                    if prepare is not None:
                        prepare(rig)
                    else:
                        rig.load.connect(size)
                        measures.warm_up(rig)
                    rigs.append(rig)
            group = "+".join(each.name for each in contenders)
            for turn in range(turns or self.sizes.turns):
                for workload in workloads:
                    for rig in rigs[:: -1 if turn % 2 else 1]:
                        name = rig.contender.name
                        if workload.only is None or name in workload.only:
                            with self._noting(workload.name, name, partial(rigs.remove, rig)):
                                self._sample(workload.name, name, size, f"{group}/{turn}", workload.run(rig))

    def _afresh(
        self,
        workload: str,
        contenders: Iterable[Contender],
        run: Callable[[Rig], dict[str, Any]],
        *,
        clients: int | None = None,
        timeout: float = 120.0,
    ) -> None:
        """Run one workload on a server that was just started, again and again."""
        for turn in range(self.sizes.fresh):
            for each in contenders:
                with self._noting(workload, each.name), self.bench.rig(each, timeout=timeout) as rig:
                    self._sample(workload, each.name, clients or self.sizes.clients, str(turn), run(rig))

    def _sample(self, workload: str, server: str, clients: int, turn: str, figures: dict[str, Any]) -> None:
        self.results.add(Sample(workload, server, clients, turn, figures))
        told = {key: f"{value:.4g}" for key, value in figures.items() if isinstance(value, int | float)}
        say(f"{workload:12} {server:24} {clients:6} " + " ".join(f"{key}={value}" for key, value in told.items()))

    @contextlib.contextmanager
    def _noting(self, workload: str, server: str, give_up: Callable[[], object] | None = None) -> Iterator[None]:
        """Go on with the others when a server fails."""
        try:
            yield
        except _FAILURES as error:
            self.results.fail(workload, server, str(error))
            say(f"{workload:12} {server:24} failed: {error}")
            if give_up is not None:
                give_up()


def say(text: str) -> None:
    """Tell what happens, beside the output."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _chunks(names: Sequence[str], size: int = 3) -> list[Sequence[str]]:
    return [names[start : start + size] for start in range(0, len(names), size)]
