"""OpenSearch: one node, plain HTTP, no security plugin, started by the codelibs runner."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
from pathlib import Path
from typing import ClassVar

from tests.servers.process import Server

# The runner takes no port above 9299.
_PORTS = range(9201, 9300)

# A laptop's nearly full disk would otherwise turn every index read-only.
_SETTINGS = """\
network.host: 127.0.0.1
discovery.type: single-node
cluster.routing.allocation.disk.threshold_enabled: false
"""


class OpenSearch(Server):
    scheme: ClassVar[str] = "opensearch"
    pom: ClassVar[Path] = Path(__file__).with_name("opensearch.pom.xml")

    def __init__(self, directory: Path, *preferred: int) -> None:
        super().__init__(directory, [*preferred, *random.sample(_PORTS, len(_PORTS))])
        self._cluster = f"{directory.name}-{self.port}-{random.randbytes(4).hex()}"

    def _arguments(self) -> list[str]:
        config = self.directory / "config"
        config.mkdir(exist_ok=True)
        (config / "opensearch.yml").write_text(_SETTINGS)
        runner = ["-basePath", str(self.directory), "-confPath", str(config), "-clusterName", self._cluster]
        # The runner's first node listens on the base port plus one.
        ports = ["-numOfNode", "1", "-baseHttpPort", str(self.port - 1)]
        return ["-Xms512m", "-Xmx512m", "org.codelibs.opensearch.runner.OpenSearchRunner", *runner, *ports]

    def _answers(self) -> bool:
        url = f"http://{self.address}/_cluster/health?wait_for_status=yellow&timeout=1s"
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                health = json.load(response)
        except OSError:  # refused, reset, or 408 and 503 while it comes up
            return False
        return health["cluster_name"] == self._cluster
