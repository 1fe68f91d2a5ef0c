"""The seed's portable log: one JSON file a run in `logs_dir`, left at the run's end."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import msgspec

from tailrace.bus.topics import slug
from tailrace.document import collect
from tailrace.document.view import render
from tailrace.event import decode
from tailrace.logger.context import RunState
from tailrace.logger.recorder import Recorder


def leave_document(recorder: Recorder, run: RunState) -> Path | None:
    """Write the run's document to `<logs_dir>/<slug>_<YYYYmmdd_HHMMSS>_<last 8 of run id>.json`; never raises.

    The last 8 digits, because run ids begin with the time and runs of one minute share their first ones. The document
    holds what this process recorded; that of the store also has what other processes did for the run. A file that
    cannot be written is told once on stderr; the events are on the spool all the same.
    """
    kept, run.kept = run.kept, None
    directory = recorder.logs_dir
    if directory is None or not kept:
        return None
    try:
        document = collect(map(decode, kept))[run.run_id]
        body = msgspec.json.format(render(document), indent=4)
        name = f"{slug(run.workflow)}_{datetime.now().astimezone():%Y%m%d_%H%M%S}_{run.run_id[-8:]}.json"
        path = Path(directory) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".json.tmp")
        draft.write_bytes(body + b"\n")
        os.replace(draft, path)  # noqa: PTH105 - readers never see half a file
    except Exception as error:  # noqa: BLE001 - a full disk must not become the agent's error
        recorder.warn(f"the document of run {run.run_id} could not be written to {directory}: {error}", key="logs_dir")
        return None
    return path
