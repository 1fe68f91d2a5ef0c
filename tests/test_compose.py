"""docker-compose.yml, as far as it can be judged without a container engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from ruamel.yaml import YAML

from tailrace.config import load_with_origins

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docker-compose.yml"
SERVICES = YAML(typ="safe").load(FILE)["services"]
SERVERS = ("kafka", "opensearch")
STAGES = ("sample", "aggregate", "index")


def settings(service):
    return {name: value for name, value in service["environment"].items() if name.startswith("TAILRACE_")}


def test_the_file_follows_the_compose_specification():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_services_are_the_servers_the_topics_and_the_stages():
    assert set(SERVICES) == {*SERVERS, "topics", *STAGES}
    for name in STAGES:
        assert SERVICES[name]["command"] == ["consume", name]
        assert SERVICES[name]["image"] == SERVICES["topics"]["image"]


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_has_the_version_that_the_tests_ran(name):
    pom = ET.parse(ROOT / "tests" / "servers" / f"{name}.pom.xml")
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert image in {"apache/kafka", "opensearchproject/opensearch"}
    assert tag == pom.findtext("version")


def test_the_image_of_the_stages_starts_from_a_pinned_version():
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base) for base in bases)


@pytest.mark.parametrize("name", STAGES)
def test_the_health_of_a_stage_is_asked_where_it_serves_it(name):
    _, port = settings(SERVICES[name])["TAILRACE_CONSUME__METRICS"].split(":")
    assert f"http://127.0.0.1:{port}/readyz" in SERVICES[name]["healthcheck"]["test"][-1]
    assert "ports" not in SERVICES[name]
    assert "metrics" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", [*SERVERS, *STAGES])
def test_what_runs_on_has_a_health_check_and_comes_back(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_a_stage_starts_after_the_topics_and_the_servers():
    assert SERVICES["topics"]["restart"] == "no"
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    for name in STAGES:
        assert SERVICES[name]["depends_on"] == {
            "topics": {"condition": "service_completed_successfully"},
            "opensearch": {"condition": "service_healthy"},
        }


@pytest.mark.parametrize(("name", "port"), [("kafka", 9092), ("opensearch", 9200)])
def test_the_host_reaches_a_server_where_the_readme_says_and_nobody_else_does(name, port):
    assert SERVICES[name]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"{name}://localhost:{port}" in (ROOT / "README.md").read_text()


def test_kafka_tells_each_side_the_address_that_works_there():
    environment = SERVICES["kafka"]["environment"]
    listeners = dict(re.findall(r"(\w+)://[^:,]*:(\d+)", environment["KAFKA_LISTENERS"]))
    advertised = dict(re.findall(r"(\w+)://([^,]+)", environment["KAFKA_ADVERTISED_LISTENERS"]))
    assert advertised == {"HOST": f"localhost:{listeners['HOST']}", "INTERNAL": f"kafka:{listeners['INTERNAL']}"}
    for name in ("topics", *STAGES):
        assert settings(SERVICES[name])["TAILRACE_BUS"] == f"kafka://{advertised['INTERNAL']}"


@pytest.mark.parametrize("name", ["topics", *STAGES])
def test_every_setting_is_one_that_tailrace_knows(name, tmp_path):
    given = settings(SERVICES[name])
    loaded = load_with_origins(environ=given, directory=tmp_path)
    assert {f"TAILRACE_{key.upper().replace('.', '__')}" for key in loaded.origins} == set(given)
    assert loaded.config.store == "opensearch://opensearch:9200"
