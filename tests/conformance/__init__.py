"""What every implementation of a protocol must do, as tests that the implementations' own tests run."""

import pkgutil

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))
