"""The targets of one upstream, and which of them a request goes to.

An upstream with one target costs a request what that target's pool costs: `take` is the pool's own. With
several, or with a limit, `take` chooses and counts, and `leave` counts back when the exchange has ended.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import randrange
from typing import TYPE_CHECKING, Final, assert_never

from proxy.edge import balance, ejection, log
from proxy.edge.budget import RetryBudget
from proxy.edge.config_upstreams import HOST_OF_TARGET, Balance, TargetConfig, UpstreamConfig
from proxy.edge.target import Address, Target, TargetKey, literal
from proxy.edge.timers import turns
from proxy.edge.upstream_tls import ClientContext
from proxy.edge.waiting import Waiting

if TYPE_CHECKING:  # the context makes clusters; an exchange calls them
    from proxy.edge.context import Context
    from proxy.edge.exchange import Exchange
    from proxy.edge.upstream import UpstreamConnection

Take = Callable[["Exchange"], "UpstreamConnection | None"]
Pick = Callable[["Exchange"], Target]
HostPort = tuple[str, int]

# What an exchange says of its target.
SUCCEEDED: Final = 0
FAILED: Final = 1
NOTHING: Final = 2

NO_LIMIT: Final = 1 << 60


@dataclass(slots=True)
class UpstreamDeadlines:
    """In turns. One object for as long as the upstream lives: connections read it at each request."""

    idle: int = 0
    head: int = 0
    read_idle: int = 0
    write_idle: int = 0

    def update(self, config: UpstreamConfig) -> None:
        self.idle = turns(config.idle_seconds)
        self.head = turns(config.head_seconds)
        self.read_idle = turns(config.read_idle_seconds)
        self.write_idle = turns(config.write_idle_seconds)


class Cluster:
    """One named upstream of one worker."""

    __slots__ = (
        "_addresses",
        "_allowed",
        "_budget",
        "_context",
        "_in_flight_limit",
        "_is_plain",
        "_order",
        "_pick",
        "_ring",
        "_tls",
        "_turn",
        "_up",
        "_usable",
        "config",
        "deadlines",
        "in_flight",
        "names",
        "take",
        "targets",
        "waiting",
    )

    # Called for each request; None: `arrange` has to see to it.
    take: Take

    def __init__(self, context: "Context", config: UpstreamConfig, tls: ClientContext | None = None) -> None:
        self._context = context
        self._addresses: dict[HostPort, tuple[Address, ...]] = {}
        self._allowed: list[bool] = []
        self._order: list[Target] = []
        # What the control process found, by the targets' names; kept until it says otherwise.
        self._up: Mapping[str, bool] = {}
        self._usable: list[Target] = []
        self._ring = balance.Ring(())
        self._budget = RetryBudget(context.loop.time())
        self._is_plain = False
        # Workers do not begin with the same target.
        self._turn = context.slot
        self.deadlines = UpstreamDeadlines()
        self.in_flight = 0
        self.names: tuple[HostPort, ...] = ()
        self.targets: list[Target] = []
        self.waiting = Waiting(context)
        self.configure(config, tls)

    # ---- which targets there are

    def configure(self, config: UpstreamConfig, tls: ClientContext | None) -> None:
        """Targets that stay keep their connections."""
        self.config = config
        self._tls = tls
        self.deadlines.update(config)
        self.names = tuple(
            (target.host, target.port)
            for target in config.targets
            if not target.path and literal(target.host, target.port) is None
        )
        self._addresses = {name: self._addresses[name] for name in self.names if name in self._addresses}
        if not config.has_checks:
            self._up = {}
        self._pick = self._pick_by(config.balance)
        self._budget.configure(config.retry_budget_percent, config.retry_minimum_per_second)
        self._in_flight_limit = config.in_flight_count or NO_LIMIT
        self.waiting.count_limit = config.queue_count
        self.waiting.turns = turns(config.queue_seconds)
        self._rebuild()
        self._admit()

    def resolved(self, name: HostPort, addresses: Sequence[Address]) -> None:
        """What the resolver says of a name: each of its addresses is a target."""
        found = tuple(addresses)
        if set(found) != set(self._addresses.get(name, ())):
            self._addresses[name] = found
            self._rebuild()
            log.write(log.TARGETS_CHANGED, self._context.slot, upstream=self.config.name, host=name[0],
                      count=len(found))  # fmt: skip

    def _rebuild(self) -> None:
        before = {target.key: target for target in self.targets}
        weights: dict[TargetKey, int] = {}
        for wanted in self.config.targets:
            authority = authority_of(wanted)
            for address in self._addresses_of(wanted):
                key = TargetKey(
                    address,
                    authority,
                    self._host_line(authority),
                    self._tls if wanted.is_tls else None,
                    self.config.tls.server_name or wanted.host,
                    self.config.proxy_protocol,
                )
                weights[key] = weights.get(key, 0) + wanted.weight
        self.targets = []
        for key, weight in weights.items():
            target = before.pop(key, None) or Target(self, key, weight)
            target.weight = weight
            target.is_up = self._up.get(target.name, True)
            if target.is_shared:
                target.pool.idle_count_limit = self.config.idle_count
            self.targets.append(target)
        for gone in before.values():
            gone.retire()
        self._prepare()

    def _prepare(self) -> None:
        """What a pick looks into, made when the targets change."""
        hashed = self.targets if self.config.balance == "client_hash" else ()
        self._ring = balance.Ring([(target.name, target.weight) for target in hashed])
        self._is_plain = len(self.targets) == 1 and self._in_flight_limit == NO_LIMIT
        self.take = self.targets[0].pool.take if self._is_plain else self._take
        self._choose_usable()
        self._context.upstreams.changed()

    def _choose_usable(self) -> None:
        """The same when the health of one changes; the ring stays, so its clients come back to it."""
        self._allowed = ejection.usable([target.is_well for target in self.targets])
        self._usable = [
            target for target, allowed in zip(self.targets, self._allowed, strict=True) if allowed
        ]
        weights = [target.weight for target in self._usable]
        self._order = [self._usable[index] for index in balance.schedule(weights)]

    def _addresses_of(self, target: TargetConfig) -> Sequence[Address]:
        if target.is_tls and self._tls is None:
            return ()  # its files have not been read yet
        if target.path:
            return (Address(socket.AF_UNIX, target.path),)
        address = literal(target.host, target.port)
        if address is not None:
            return (address,)
        return self._addresses.get((target.host, target.port), ())

    def _host_line(self, authority: str) -> bytes | None:
        """A fixed one is the codec's work."""
        if self.config.host_header != HOST_OF_TARGET:
            return None
        return f"Host: {authority}\r\n".encode("ascii")

    def retire(self) -> None:
        """It is no upstream any more; what is under way ends."""
        for target in self.targets:
            target.retire()

    # ---- which of them a request goes to

    def _take(self, exchange: "Exchange") -> "UpstreamConnection | None":
        if self.in_flight >= self._in_flight_limit:
            return None
        target = self.assign(exchange)
        return target.pool.take() if target is not None else None

    def assign(self, exchange: "Exchange") -> Target | None:
        """The target that this exchange goes to and counts at; None while no address is known."""
        if self._is_plain:
            return self.targets[0]
        if not self.targets:
            return None
        target = self._pick(exchange)
        self._budget.requests += 1
        self._enter(exchange, target)
        return target

    def arrange(self, exchange: "Exchange") -> None:
        """There is no idle connection: a tracked task opens one, and finds an address first when none is
        known. Or there is no room: the exchange waits."""
        target = exchange.target
        if target is None:
            if self.in_flight >= self._in_flight_limit:
                if self.waiting.enter(exchange):
                    exchange.waiting = self.waiting
                else:
                    exchange.fail(503)
                return
            target = self.assign(exchange)
        exchange.attempt = self._context.connector.connect(exchange, self, target)

    def _enter(self, exchange: "Exchange", target: Target) -> None:
        exchange.target = target
        target.in_flight += 1
        self.in_flight += 1

    def leave(self, target: Target, outcome: int) -> None:
        """The exchange that counted at this target has ended."""
        target.in_flight -= 1
        self.in_flight -= 1
        if outcome == FAILED:
            self._failed(target)
        elif target.is_suspect and outcome == SUCCEEDED:
            self.succeeded(target)
        if self.waiting.exchanges:
            self._admit()

    def _admit(self) -> None:
        while self.in_flight < self._in_flight_limit and (exchange := self.waiting.next()) is not None:
            exchange.admitted(self)

    def another(self, exchange: "Exchange", failed: Target) -> Target | None:
        """Where an exchange goes on that has come to nothing at `failed`, and counts from now on.

        None: nowhere. It has been tried often enough, the budget is spent, or there is no other target.
        """
        tried = (*exchange.tried, failed)
        if len(tried) > self.config.retry_count:
            return None
        left = [target for target in self._usable if target not in tried]
        if not left or not self._budget.withdraw(self._context.loop.time()):
            return None
        target = left[_least_loaded(left, self._turn)]
        exchange.tried = tried
        self._context.count("upstream_retries")
        # First in, then out: the place is not free for who waits.
        before = exchange.target
        self._enter(exchange, target)
        if before is not None:
            self.leave(before, FAILED)
        return target

    # ---- how the targets are

    def _failed(self, target: Target) -> None:
        """Enough of these in a row, and it is left out for a while, unless too many are already."""
        rules, now = self.config.ejection, self._context.loop.time()
        target.failure_count += 1
        target.is_suspect = True
        if not rules.consecutive_failures or target.ejected_until or not target.pool.is_current:
            return
        if not target.streak.add(now, rules.consecutive_failures, rules.window_seconds):
            return
        ejected_count = sum(other.ejected_until > 0 for other in self.targets)
        if not ejection.may_eject(ejected_count, len(self.targets), rules.maximum_percent):
            return
        target.streak.clear()
        target.ejection_count += 1
        target.ejection_repeats += 1
        seconds = ejection.ejection_seconds(rules.seconds, target.ejection_repeats)
        target.ejected_until = now + seconds
        self._choose_usable()
        self._context.count("upstream_ejections")
        self._log(log.TARGET_EJECTED, target, seconds=seconds)

    def succeeded(self, target: Target) -> None:
        """What was begun before it was left out says nothing about it now."""
        if not target.ejected_until:
            target.is_suspect = False
            target.ejection_repeats = 0
            target.streak.clear()

    def tick(self) -> None:
        """Called each second: who has been left out for long enough is tried again."""
        now = self._context.loop.time()
        back = [target for target in self.targets if 0 < target.ejected_until <= now]
        for target in back:
            target.ejected_until = 0.0
            self._log(log.TARGET_RETURNED, target)
        if back:
            self._choose_usable()

    def take_health(self, found: Mapping[str, bool]) -> None:
        """What the control process found, by the targets' names; a name it does not know is as good as up."""
        if not self.config.has_checks:
            return
        self._up = found
        for target in self.targets:
            is_up = found.get(target.name, True)
            if is_up is not target.is_up:
                target.is_up = is_up
                self._log(log.TARGET_UP if is_up else log.TARGET_DOWN, target)
        self._choose_usable()

    def _log(self, event: str, target: Target, **fields: float) -> None:
        log.write(event, self._context.slot, upstream=self.config.name, target=target.name, **fields)

    def _pick_by(self, name: Balance) -> Pick:
        match name:
            case "round_robin":
                return self._pick_in_turn
            case "least_connections":
                return self._pick_least
            case "power_of_two":
                return self._pick_of_two
            case "client_hash":
                return self._pick_by_client
            case _:
                assert_never(name)

    def _pick_in_turn(self, _exchange: "Exchange") -> Target:
        turn = self._turn = self._turn + 1
        order = self._order
        return order[turn % len(order)]

    def _pick_least(self, _exchange: "Exchange") -> Target:
        self._turn += 1
        return self._usable[_least_loaded(self._usable, self._turn)]

    def _pick_of_two(self, _exchange: "Exchange") -> Target:
        """Two by chance, each as probable as its weight; the less loaded one."""
        order = self._order
        count = len(order)
        if count == 1:
            return order[0]
        place = randrange(count)  # noqa: S311 - no secret
        first, second = order[place], order[(place + 1 + randrange(count - 1)) % count]  # noqa: S311
        if (first.in_flight + 1) * second.weight <= (second.in_flight + 1) * first.weight:
            return first
        return second

    def _pick_by_client(self, exchange: "Exchange") -> Target:
        index = self._ring.find(balance.hash_of(exchange.codec.client), self._allowed)
        return self.targets[index or 0]


def _least_loaded(targets: Sequence[Target], start: int) -> int:
    loads = [target.in_flight for target in targets]
    return balance.least_loaded(loads, [target.weight for target in targets], start)


def authority_of(target: TargetConfig) -> str:
    """What a target calls itself, as far as we know."""
    if target.path:
        return "localhost"
    host = f"[{target.host}]" if ":" in target.host else target.host
    usual_port = 443 if target.is_tls else 80
    return host if target.port == usual_port else f"{host}:{target.port}"
