"""Loggers that write JSON lines to a file."""

from __future__ import annotations

from benchmarks.payloads import MASK, PLACE
from benchmarks.peers import FilePeer


class StdlibJson(FilePeer):
    """logging + FileHandler + python-json-logger's JsonFormatter."""

    name = "stdlib_json"
    packages = ("python-json-logger",)

    async def open(self) -> None:
        import logging

        from pythonjsonlogger.json import JsonFormatter

        handler = logging.FileHandler(self.path)
        handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        self._log = logging.getLogger("agents.researcher")
        self._log.setLevel(logging.INFO)
        self._log.propagate = False
        self._log.addHandler(handler)

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        self._log.info("action", extra={**PLACE, "action": name, "input": given, "output": found})


class Structlog(FilePeer):
    """BytesLogger (write and flush per event), JSONRenderer(orjson), level and ISO time added, run fields bound."""

    name = "structlog"
    packages = ("structlog", "orjson")

    async def open(self) -> None:
        import logging

        import orjson
        import structlog

        self._file = self.path.open("wb")
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.BytesLoggerFactory(file=self._file),
            cache_logger_on_first_use=True,
        )
        self._log = structlog.get_logger().bind(**PLACE)

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        self._log.info("action", action=name, input=given, output=found)

    async def close(self) -> None:
        self._file.close()


class Loguru(FilePeer):
    """serialize=True, enqueue=False, run fields bound."""

    name = "loguru"
    packages = ("loguru",)

    async def open(self) -> None:
        from loguru import logger

        logger.remove()
        logger.add(self.path, serialize=True, level="INFO")
        self._log = logger.bind(**PLACE)

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        self._log.info("action", action=name, input=given, output=found)

    async def close(self) -> None:
        self._log.remove()


class Picologging(FilePeer):
    """FileHandler; it has no JSON and does not carry `extra`, so the caller passes msgspec's JSON as the text."""

    name = "picologging"
    packages = ("picologging",)

    async def open(self) -> None:
        import msgspec
        import picologging

        handler = picologging.FileHandler(str(self.path))
        handler.setFormatter(picologging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        self._log = picologging.Logger("agents.researcher", picologging.INFO)
        self._log.addHandler(handler)
        self._encode = msgspec.json.Encoder().encode

    def call(self, i: int) -> None:
        name, given, found = self.pool[i & MASK]
        self._log.info(self._encode({**PLACE, "action": name, "input": given, "output": found}).decode())
