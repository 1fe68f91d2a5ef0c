"""The logger of the logger's tests: what a payload becomes is seen where it lands, on the spool."""

from tests.logger.conftest import log

__all__ = ["log"]
