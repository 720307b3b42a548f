"""The samples of the lane's README run: what they say is what happens."""

import re
import tomllib
from pathlib import Path

import pytest

from proxy.lane import build_application
from proxy.lane.config import LaneConfig
from proxy.lane.loading import load_middlewares
from proxy.settings import load_settings
from tests.lane.peers import answer_always, client_to, get, lane_running, upstream_running

README = (Path(__file__).resolve().parents[2] / "proxy/lane/README.md").read_text()
SAMPLES = {kind: re.findall(rf"```{kind}\n(.*?)```", README, re.DOTALL) for kind in ("python", "toml")}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """sentra.toml and lane/tenants.py as the README shows them, and a guard beside."""
    (tmp_path / "sentra.toml").write_text(SAMPLES["toml"][0])
    (tmp_path / "lane").mkdir()
    (tmp_path / "lane/tenants.py").write_text(SAMPLES["python"][0])
    (tmp_path / "lane/readme_guards.py").write_text(SAMPLES["python"][1])
    monkeypatch.syspath_prepend(str(tmp_path / "lane"))
    return tmp_path


async def test_the_sample_middleware_does_what_it_says(folder: Path):
    """Written by the book of the README, loaded by its settings."""
    (lane,) = load_settings(folder / "sentra.toml").lanes
    middlewares = load_middlewares(lane.middlewares, str, lane.python_path)
    async with upstream_running(answer_always) as upstream:
        config = LaneConfig(upstream_port=upstream.port, is_behind_edge=False)
        async with lane_running(config, tuple(middlewares)) as port, client_to(port) as client:
            assert (await client.ask(get("/")))[0].status == 400
            assert (await client.ask(get("/", "X-Tenant: a")))[0].status == 200
        assert len(upstream.heads) == 1


def test_the_sample_guard_is_a_middleware(folder: Path):
    """With the names of rules that there are."""
    (guard,) = load_middlewares(["readme_guards:guard"], str, [folder / "lane"])
    build_application(LaneConfig(), (guard,))


def test_the_sample_settings_name_a_lane_and_its_route():
    """The table of the lane, and a route that says it."""
    sample = tomllib.loads(SAMPLES["toml"][0])
    assert sample["routes"][0]["lane"] == sample["lanes"][0]["name"]
