"""Every public name says what it is, and nothing is public by accident."""

import inspect
import pkgutil
import subprocess
import sys
from importlib.resources import files

import pytest

import tailrace
import tailrace.stdlib
import tailrace.testing
from tailrace import overrides


def public():
    """The public names that can have a docstring, and the public methods and properties of the public classes."""
    for module in (tailrace, overrides, tailrace.stdlib, tailrace.testing):
        for name in module.__all__:
            value = getattr(module, name)
            if name != "Write":  # a type
                yield f"{module.__name__}.{name}", value
            if inspect.isclass(value):
                for member, found in inspect.getmembers(value, is_documented):
                    if not member.startswith("_") and is_ours(value, member):
                        yield f"{module.__name__}.{name}.{member}", found


def is_documented(value):
    return inspect.isroutine(value) or isinstance(value, property)


def is_ours(cls, member):
    """Whether a class of tailrace defines it, and not one of the standard library that it derives from."""
    return next(each for each in cls.__mro__ if member in vars(each)).__module__.startswith("tailrace")


@pytest.mark.parametrize(("name", "value"), [*public()], ids=lambda value: value if isinstance(value, str) else "")
def test_a_public_name_has_a_docstring(name, value):
    assert inspect.getdoc(value), name


def test_the_public_names_are_those_that_the_package_lists_and_its_rooms():
    rooms = {module.name for module in pkgutil.iter_modules(tailrace.__path__)}
    program = "import tailrace; print(*(name for name in vars(tailrace) if not name.startswith('_')))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(shown) - rooms - {"annotations"} == set(tailrace.__all__) - rooms


def test_the_package_is_marked_as_typed():
    assert (files("tailrace") / "py.typed").is_file()
