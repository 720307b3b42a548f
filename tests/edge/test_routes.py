"""Which requests go where, over real sockets; the matcher itself is held against a scan in Rust."""

from proxy.edge.config_routes import FixedResponse, HeaderChanges, HeaderMatch, Redirect, RouteConfig
from tests.edge.conftest import StartEdge
from tests.support.client import get, post
from tests.support.origin import Origin, OriginConnection, answer

STRICT = RouteConfig(name="strict", hosts=("strict.example",), path_prefix="/v1", body_bytes=4)


def to(host: str, path: str = "/", *fields: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_request_that_no_route_fits_gets_404_and_origin_sees_nothing(
    start_edge: StartEdge, origin: Origin
):
    """An edge that forwards what nobody configured is an open proxy to the gateway's other names."""
    edge = await start_edge(routes=(STRICT,))
    client = await edge.connect()
    for request in (to("strict.example", "/v10"), to("other.example", "/v1"), get()):
        response = await client.fetch(request)
        assert response.status == 404
        assert response.head.get("content-type") == "application/problem+json"
    assert origin.connections == []
    assert edge.counter("unrouted") == 3
    # The connection stays, and the next request is an ordinary one.
    assert (await client.fetch(to("strict.example", "/v1/x"))).status == 200


async def test_path_that_two_servers_would_read_differently_is_refused(start_edge: StartEdge, origin: Origin):
    """`..%2f` is a file name here and a way up there: the rules of one route, the content of another."""
    edge = await start_edge(
        routes=(RouteConfig(name="public"), RouteConfig(name="admin", path_prefix="/admin"))
    )
    client = await edge.connect()
    assert (await client.fetch(get("/public/..%2fadmin"))).status == 400
    assert origin.connections == []
    client = await edge.connect()
    assert (await client.fetch(get("/public/a%2fb"))).status == 200


async def test_body_limit_is_the_routes_own(start_edge: StartEdge, origin: Origin):
    """Chunked bodies too, whose length shows only as they come."""
    edge = await start_edge(routes=(STRICT, RouteConfig(name="rest")))
    client = await edge.connect()
    assert (await client.fetch(post(b"12345"))).status == 200
    strict = b"POST /v1 HTTP/1.1\r\nHost: strict.example\r\n"
    assert (await client.fetch(strict + b"Content-Length: 5\r\n\r\n12345")).status == 413
    client = await edge.connect()
    piece = b"3\r\n123\r\n"
    assert (await client.fetch(strict + b"Transfer-Encoding: chunked\r\n\r\n" + piece + piece)).status == 413


async def test_new_routes_are_taken_by_the_next_request_of_an_open_connection(
    start_edge: StartEdge, origin: Origin
):
    """SIGHUP drops nothing."""
    edge = await start_edge()
    client = await edge.connect()
    assert (await client.fetch(get())).status == 200
    edge.configure(routes=(RouteConfig(name="tenant", headers=(HeaderMatch("X-Tenant", "a"),)),))
    assert (await client.fetch(get())).status == 404
    assert (await client.fetch(get("/", "X-Tenant: a"))).status == 200


async def test_fields_are_changed_both_ways_and_the_prefix_comes_off(start_edge: StartEdge, origin: Origin):
    """What a gateway behind a path needs, and no client can undo."""
    edge = await start_edge(
        routes=(
            RouteConfig(
                path_prefix="/v1",
                strip_prefix="/v1",
                request_headers=HeaderChanges(set=(("X-Tenant", "ours"),)),
                response_headers=HeaderChanges(set=(("Server", "edge"),), remove=("X-Powered-By",)),
            ),
        )
    )

    async def powered(connection: OriginConnection) -> None:
        while True:
            await connection.read_request()
            await connection.send(answer(b"ok", "Server: origin", "X-Powered-By: php"))

    origin.behave = powered
    client = await edge.connect()
    response = await client.fetch(get("/v1/a%2Fb?c", "x_tenant: theirs", "Connection: X-Tenant"))
    assert (response.head.get("server"), response.head.get("x-powered-by")) == ("edge", None)
    request = origin.requests[0]
    assert request.head.start_line == "GET /a%2Fb?c HTTP/1.1"
    assert request.head.get("x-tenant") == "ours"
    assert request.head.get("x_tenant") is None
    assert request.head.get("x-forwarded-prefix") == "/v1"


async def test_redirection_and_fixed_response_need_no_origin(start_edge: StartEdge, origin: Origin):
    """They count as answers, and the connection stays."""
    edge = await start_edge(
        routes=(
            RouteConfig(
                name="moved", path_prefix="/old", redirect=Redirect(308, "https://{host}/new{query}")
            ),
            RouteConfig(name="robots", path="/robots.txt", respond=FixedResponse(200, "text/plain", "none")),
        )
    )
    client = await edge.connect()
    moved = await client.fetch(get("/old/x?q=1"))
    assert (moved.status, moved.head.get("location")) == (308, "https://example.com/new?q=1")
    robots = await client.fetch(get("/robots.txt"))
    assert (robots.status, robots.body, robots.head.get("content-type")) == (200, b"none", "text/plain")
    assert (await client.fetch(post(b"abc", "/robots.txt"))).body == b"none"
    assert origin.connections == []
    assert (edge.counter("responses_2xx"), edge.counter("responses_3xx")) == (2, 1)


async def test_control_paths_of_the_gateway_are_not_there(start_edge: StartEdge, origin: Origin):
    """Tyk serves its control API on the port of the traffic; from outside there is none, in any spelling."""
    edge = await start_edge(routes=(RouteConfig(hidden_paths=("/tyk", "/hello")),))
    client = await edge.connect()
    paths = ("/tyk/apis", "/TYK/apis", "//%74yk/", "/x/..%2ftyk/keys", "/hello", "http://example.com/tyk")
    for path in paths:
        assert (await client.fetch(get(path, "X-Tyk-Authorization: secret"))).status == 404
    assert origin.connections == []
    assert edge.counter("hidden") == len(paths)
    assert (await client.fetch(get("/tykx"))).status == 200
    edge.configure(routes=(RouteConfig(path_prefix="/v1", strip_prefix="/v1", hidden_paths=("/tyk",)),))
    assert (await client.fetch(get("/v1/tyk/apis"))).status == 404
    assert len(origin.requests) == 1
