"""Active checks: asks every target of every upstream that wants it, for all workers of the pod.

Only the control process asks; workers hear of changes in HEALTH frames and keep the last word while it is
away.
"""

import asyncio
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import orjson
from yarl import URL

from proxy.control.checks import Checked, CheckRule, after, fault_of
from proxy.edge.config_upstreams import UpstreamTlsConfig
from proxy.edge.resolver import MOST_ADDRESSES
from proxy.edge.target import Address, literal
from proxy.edge.upstream_tls import ClientContext, TlsFileFault, load_client_context
from proxy.telemetry import events, logs

# What of a body is looked at.
_BODY_BYTES: Final = 65536
_PARALLEL_COUNT: Final = 32
_NOTE_CHARACTERS: Final = 200

Share = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class CheckedTarget:
    """A host with a port, or the path of a unix socket; `host`: what it is asked for."""

    host: str
    port: int
    path: str
    rule: CheckRule
    is_tls: bool
    # None: without TLS.
    server_name: str | None


@dataclass(frozen=True, slots=True)
class CheckedUpstream:
    name: str
    targets: tuple[CheckedTarget, ...]
    interval_seconds: float
    resolve_seconds: float
    tls: UpstreamTlsConfig


@dataclass(slots=True)
class _Known:
    """Of one upstream: addresses by name, and what the targets last answered."""

    addresses: dict[tuple[str, int], tuple[Address, ...]] = field(default_factory=dict)
    resolve_at: float = 0.0
    checked: dict[str, Checked] = field(default_factory=dict)
    context: ClientContext | None = None


class HealthChecks:
    """`run_forever` is a task of the control process; `reconfigure` may be called at any time."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._upstreams: Sequence[CheckedUpstream] = ()
        self._changed = asyncio.Event()
        self._known: dict[str, _Known] = {}

    def reconfigure(self, upstreams: Sequence[CheckedUpstream]) -> None:
        """What was found of a target that stays is kept."""
        self._upstreams = tuple(upstreams)
        self._known = {item.name: self._known.get(item.name, _Known()) for item in upstreams}
        self._changed.set()

    def notes(self, upstream: str) -> dict[str, Checked]:
        """By the targets' names; empty when it is not checked."""
        known = self._known.get(upstream)
        return {} if known is None else dict(known.checked)

    async def run_forever(self) -> None:
        """One task per upstream, until the configuration changes."""
        while True:
            self._changed.clear()
            async with asyncio.TaskGroup() as tasks:
                watching = [tasks.create_task(self._watch(upstream)) for upstream in self._upstreams]
                await self._changed.wait()
                for task in watching:
                    task.cancel()

    async def _watch(self, upstream: CheckedUpstream) -> None:
        while True:
            await self._round(upstream, self._known[upstream.name])
            # Not all pods at the same moment.
            await asyncio.sleep(upstream.interval_seconds * random.uniform(0.9, 1.1))  # noqa: S311 - no secret

    async def _round(self, upstream: CheckedUpstream, known: _Known) -> None:
        """Ask every target once, and tell the workers when one is up or down now that was not."""
        await self._resolve(upstream, known)
        fault = await self._load_context(upstream, known)
        limit = asyncio.Semaphore(_PARALLEL_COUNT)

        async def checked(target: CheckedTarget, address: Address) -> str:
            if fault and target.is_tls:
                return fault
            tls = known.context.context if known.context is not None and target.is_tls else None
            async with limit:
                return await ask(target, address, tls)

        wanted = [
            (target, address)
            for target in upstream.targets
            for address in _addresses(target, known.addresses)
        ]
        faults = await asyncio.gather(*(checked(target, address) for target, address in wanted))
        found = {
            str(address): after(known.checked.get(str(address)), fault, target.rule)
            for (target, address), fault in zip(wanted, faults, strict=True)
        }
        before, known.checked = known.checked, found
        self._log(upstream.name, before, found)
        if _ups(before) != _ups(found):
            await self._share(self._payload())

    async def _load_context(self, upstream: CheckedUpstream, known: _Known) -> str:
        """Files that were replaced count from this round on. -> what is wrong with them, empty when well."""
        if any(target.is_tls for target in upstream.targets):
            try:
                known.context = await asyncio.to_thread(load_client_context, upstream.tls, known.context)
            except TlsFileFault as fault:
                return str(fault)
        return ""

    def _payload(self) -> bytes:
        """Everything that is known, for workers that start later; an upstream without an answer is not
        named."""
        return orjson.dumps(
            {upstream: _ups(known.checked) for upstream, known in self._known.items() if known.checked}
        )

    def _log(self, upstream: str, before: dict[str, Checked], found: dict[str, Checked]) -> None:
        """Changes alone; a target that is well from the start is none."""
        for name, item in found.items():
            if item.is_up is not (before[name].is_up if name in before else True):
                event = events.TARGET_UP if item.is_up else events.TARGET_DOWN
                logs.logger().warning(event, upstream=upstream, target=name, reason=item.note)

    async def _resolve(self, upstream: CheckedUpstream, known: _Known) -> None:
        """The last good answer serves on while the resolver fails."""
        loop = asyncio.get_running_loop()
        if loop.time() < known.resolve_at:
            return
        known.resolve_at = loop.time() + upstream.resolve_seconds
        for target in upstream.targets:
            if target.path or literal(target.host, target.port) is not None:
                continue
            try:
                async with asyncio.timeout(upstream.resolve_seconds):
                    found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError):
                continue
            known.addresses[target.host, target.port] = tuple(
                dict.fromkeys(Address(family, place) for family, _, _, _, place in found[:MOST_ADDRESSES])
            )


def _ups(checked: dict[str, Checked]) -> dict[str, bool]:
    return {name: item.is_up for name, item in checked.items()}


def _addresses(
    target: CheckedTarget, resolved: dict[tuple[str, int], tuple[Address, ...]]
) -> tuple[Address, ...]:
    if target.path:
        return (Address(socket.AF_UNIX, target.path),)
    address = literal(target.host, target.port)
    return (address,) if address is not None else resolved.get((target.host, target.port), ())


async def ask(target: CheckedTarget, address: Address, tls: ssl.SSLContext | None) -> str:
    """One request on a connection of its own, as a client's would need one. -> the fault, empty when well."""
    rule = target.rule
    connector: aiohttp.BaseConnector
    if address.family == socket.AF_UNIX:
        connector, authority = aiohttp.UnixConnector(target.path, force_close=True), "localhost"
    else:
        connector, authority = aiohttp.TCPConnector(force_close=True), str(address)
    url = URL(f"{'http' if tls is None else 'https'}://{authority}{rule.path}", encoded=True)
    timeout = aiohttp.ClientTimeout(total=rule.timeout_seconds)
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            ) as session,
            session.get(
                url,
                headers={"Host": rule.host},
                allow_redirects=False,
                ssl=tls or True,
                server_hostname=target.server_name,
            ) as response,
        ):
            body = await response.content.read(_BODY_BYTES) if rule.body_contains is not None else b""
            return fault_of(response.status, body, rule)
    except TimeoutError:
        return f"no answer within {rule.timeout_seconds:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return (str(error) or type(error).__name__)[:_NOTE_CHARACTERS]
