"""What every implementation of a protocol must do, as tests that the implementations' own tests run."""

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in ("bus", "publisher", "store")))
