"""The cache of jars, with a shell script for Maven that counts its calls."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import UnavailableError, jars

ROOT = Path(__file__).parents[2]
POM = Path(__file__).with_name("kafka.pom.xml")

MAVEN = """\
#!/bin/sh
echo call >> "$CALLS"
for option; do case $option in -DoutputDirectory=*) out=${option#*=};; esac; done
mkdir "$out" && echo jar > "$out/a.jar"
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """The directory of the programs that are found first, with an empty cache and no Java of the environment's."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return directory


def install(programs, name, script):
    (programs / name).write_text(script)
    (programs / name).chmod(0o755)


def test_jars_are_copied_once(programs, tmp_path):
    install(programs, "mvn", MAVEN)
    first = jars.fetch(POM)
    assert first.name.startswith("kafka-4.1.1-")
    assert (first / "a.jar").exists()
    assert jars.fetch(POM) == first
    assert (tmp_path / "calls").read_text() == "call\n"


def test_another_list_of_jars_gets_another_directory(programs, tmp_path):
    install(programs, "mvn", MAVEN)
    changed = tmp_path / "changed.xml"
    changed.write_text(POM.read_text().replace("2.24.3", "2.24.2"))
    assert jars.fetch(changed) != jars.fetch(POM)


def test_two_runs_at_once_copy_once(programs, tmp_path):
    install(programs, "mvn", MAVEN.replace("mkdir", "sleep 0.3; mkdir"))
    code = f"from pathlib import Path; from tests.servers import jars; jars.fetch(Path({str(POM)!r}))"
    runs = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(2)]
    assert [run.wait(30) for run in runs] == [0, 0]
    assert (tmp_path / "calls").read_text() == "call\n"


def test_a_copy_that_was_killed_halfway_is_done_again(programs):
    install(programs, "mvn", MAVEN + "touch $out/half; kill -9 $$\n")
    with pytest.raises(UnavailableError, match="no reason given"):
        jars.fetch(POM)
    install(programs, "mvn", MAVEN)
    assert [jar.name for jar in jars.fetch(POM).iterdir()] == ["a.jar"]


def test_a_failure_of_maven_is_one_line(programs):
    install(programs, "mvn", "#!/bin/sh\nprintf '[ERROR] no network\\n[ERROR] more\\n'; exit 1\n")
    with pytest.raises(
        UnavailableError, match=r"^Maven could not copy the jars of kafka\.pom\.xml: \[ERROR\] no network$"
    ):
        jars.fetch(POM)


def test_without_maven_the_error_says_what_to_install(programs, monkeypatch):
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(UnavailableError, match=r"no Maven .*apt-get install"):
        jars.fetch(POM)


def test_without_java_the_error_says_what_to_install(programs, monkeypatch):
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(UnavailableError, match=r"no Java .*apt-get install"):
        jars.find_java()


def test_a_java_that_is_too_old_is_refused(programs):
    install(programs, "java", "#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    with pytest.raises(UnavailableError, match="older than Java 17"):
        jars.find_java()
    install(programs, "java", "#!/bin/sh\necho 'openjdk version \"21\"' >&2\n")
    assert jars.find_java() == str(programs / "java")
