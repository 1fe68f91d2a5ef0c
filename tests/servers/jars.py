"""The servers' jars: copied once by Maven into the user's cache, shared by every checkout and test run."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

_JAVA_RELEASE = 17
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_INSTALL = "install Java 17 or newer and Maven (Debian: apt-get install default-jre-headless maven)"


class UnavailableError(Exception):
    """What the servers need is not on this machine; the message is one line that says what to do."""


def find_java() -> str:
    """The path of a Java that runs the servers: `$JAVA_HOME`'s, else the one on PATH.

    Raises:
        UnavailableError: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None or not Path(java).exists():
        raise UnavailableError(f"no Java found: {_INSTALL}")
    version = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    release = re.search(r'version "(\d+)', version)
    if release is None or int(release[1]) < _JAVA_RELEASE:
        raise UnavailableError(f"{java} is older than Java {_JAVA_RELEASE}: {_INSTALL}")
    return java


def fetch(pom: Path) -> Path:
    """The directory that holds the runtime jars of `pom`. The first call of all copies them, which takes seconds.

    Raises:
        UnavailableError: the jars are not there yet and Maven is missing or failed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tailrace" / "servers"
    ready = cache / _label(pom)
    if not ready.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / "lock"):
            if not ready.is_dir():
                # A fixed name, so that the next attempt removes what a killed one left behind.
                partial = cache / f"{ready.name}.partial"
                shutil.rmtree(partial, ignore_errors=True)
                _copy(pom, partial)
                partial.rename(ready)
    return ready


def _label(pom: Path) -> str:
    content = pom.read_bytes()
    project = ET.fromstring(content)
    return f"{project.findtext('artifactId')}-{project.findtext('version')}-{hashlib.sha256(content).hexdigest()[:8]}"


def _copy(pom: Path, directory: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise UnavailableError(f"no Maven found: {_INSTALL}")
    command = [maven, "-B", "-q", "-Dstyle.color=never", "-f", str(pom), _COPY]
    options = [f"-DoutputDirectory={directory}", "-DincludeScope=runtime"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("[ERROR]")]
        raise UnavailableError(
            f"Maven could not copy the jars of {pom.name}: {errors[0] if errors else 'no reason given'}"
        )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
