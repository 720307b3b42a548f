"""Settings -> the configuration that workers get. The edge itself knows nothing of pydantic."""

from dataclasses import replace
from pathlib import Path

from proxy.control.edge_rate_limits import to_rate_limit_configs
from proxy.control.edge_routes import to_route_configs
from proxy.control.edge_upstreams import to_upstream_configs
from proxy.edge.config import EdgeConfig
from proxy.edge.config_listeners import CertificateFiles, ListenerConfig, TlsConfig
from proxy.edge.context import gate_config
from proxy.errors import ConfigError
from proxy.settings import ListenerSettings, ListenerTlsSettings, Settings, locate


def to_edge_config(settings: Settings) -> EdgeConfig:
    edge, upstream = settings.edge, settings.upstream
    timeouts, limits = edge.timeouts, edge.limits
    config = EdgeConfig(
        upstream_host=upstream.url.host,
        upstream_port=upstream.url.port,
        upstream_host_header=upstream.host_header,
        upstream_idle_count=upstream.idle_count,
        upstream_idle_seconds=upstream.idle_seconds,
        upstream_connect_seconds=upstream.connect_seconds,
        upstream_head_seconds=upstream.head_seconds,
        upstream_read_idle_seconds=upstream.read_idle_seconds,
        upstream_write_idle_seconds=upstream.write_idle_seconds,
        receive_buffer_bytes=limits.receive_buffer_bytes,
        trusted_proxies=edge.trusted_proxies,
        block_score=edge.block_score,
        drop_score=edge.drop_score,
        observe=edge.mode == "observe",
        domains=edge.domains,
        on_missing=settings.blocklist.on_missing,
        rate_limits=to_rate_limit_configs(edge.rate_limits),
        limit_fields=edge.rate_limiting.fields,
        limit_when_full=edge.rate_limiting.when_full,
        on_block=edge.on_block,
        half_close=edge.half_close,
        via=edge.via,
        head_bytes=limits.head_bytes,
        target_bytes=limits.target_bytes,
        header_count=limits.header_count,
        body_bytes=limits.body_bytes,
        response_head_bytes=limits.response_head_bytes,
        head_seconds=timeouts.head_seconds,
        keepalive_seconds=timeouts.keepalive_seconds,
        body_idle_seconds=timeouts.body_idle_seconds,
        send_idle_seconds=timeouts.send_idle_seconds,
        tunnel_idle_seconds=timeouts.tunnel_idle_seconds,
        linger_bytes=limits.linger_bytes,
        linger_seconds=timeouts.linger_seconds,
        drain_seconds=timeouts.drain_seconds,
        write_buffer_bytes=limits.write_buffer_bytes,
        pipelined_bytes=limits.pipelined_bytes,
        connection_count=limits.connection_count,
        backlog_count=limits.backlog_count,
        buffer_bytes=limits.buffer_bytes,
        access_log_path=settings.access_log.target,
        access_log_share=settings.access_log.share,
        access_log_query=settings.access_log.query,
        access_log_buffer_bytes=settings.access_log.buffer_bytes,
        listeners=tuple(_listener(listener, settings) for listener in settings.listeners),
        routes=to_route_configs(settings),
    )
    return replace(config, upstreams=to_upstream_configs(settings, config))


def check_edge_config(settings: Settings, path: Path | None = None) -> None:
    """Compiles what workers would: hosts, paths and fields have rules that only the tables know.

    Raises ConfigError with the place of the key at fault.
    """
    try:
        gate_config(to_edge_config(settings))
    except ValueError as error:
        key, _, reason = str(error).partition(": ")
        parts = tuple(int(part) if part.isdigit() else part for part in key.split("."))
        place = locate(path, parts if parts[0] == "routes" else ("edge", *parts))
        raise ConfigError(f"{place}: {reason}") from error


def _listener(listener: ListenerSettings, settings: Settings) -> ListenerConfig:
    edge = settings.edge
    return ListenerConfig(
        name=listener.name,
        drop_score=edge.drop_score if listener.drop_score is None else listener.drop_score,
        half_close=listener.half_close or edge.half_close,
        tls=None if listener.tls is None else _tls(listener.tls),
        handshake_seconds=listener.handshake_seconds,
        proxy_protocol=listener.proxy_protocol,
        proxy_protocol_from=listener.proxy_protocol_from,
        proxy_protocol_others=listener.proxy_protocol_others,
        proxy_header_seconds=listener.proxy_header_seconds,
        connection_count=listener.connection_count,
        connections_per_address=listener.connections_per_address,
        minimum_body_bytes_per_second=listener.minimum_body_bytes_per_second,
        minimum_send_bytes_per_second=listener.minimum_send_bytes_per_second,
        minimum_rate_seconds=listener.minimum_rate_seconds,
    )


def _tls(tls: ListenerTlsSettings) -> TlsConfig:
    pairs = (CertificateFiles(str(pair.certificate), str(pair.key)) for pair in tls.certificates)
    return TlsConfig(
        certificates=tuple(pairs),
        minimum_version=tls.lowest_version,
        client_certificates=tls.client_certificates,
        client_ca=None if tls.client_ca is None else str(tls.client_ca),
    )
