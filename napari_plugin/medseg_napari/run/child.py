"""The other end of `Worker`: loads a model once, then estimates and segments what it is asked.

Run as a file with the folder for arrays and the parent's search path. Requests are lines of JSON on
stdin, answers are lines on what was stdout; whatever libraries print goes to stderr. When stdin
ends, because the parent ended it or died, this process ends at once and takes the folder with it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import Queue
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from medseg.models import Model

_NICER = 5
"""How far below the interface this process stands when both want the processor."""


class _Server:
    """Answers requests, and keeps the model of the last one."""

    def __init__(self, folder: Path, answers: BinaryIO) -> None:
        self._folder, self._answers = folder, answers
        self._known: tuple[tuple[str, int], Model] | None = None

    def answer(self, request: Mapping[str, Any]) -> None:
        """Do what is asked; errors of medseg and want of memory are answers too."""
        from medseg.errors import MedsegError
        from medseg_napari.run.exchange import error_message, is_out_of_memory, out_of_memory

        try:
            done = self._do(request)
        except MedsegError as error:
            done = error_message(error)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            done = error_message(out_of_memory())
        self._say(done)

    def _do(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._say({"event": "phase", "phase": "loading"})
        model = self._model(request["model"])
        if request["operation"] == "estimate":
            return self._estimate(request, model)
        return self._segment(request, model)

    def _model(self, folder: str) -> Model:
        from medseg.models import load_model
        from medseg.models.packages import CARD

        key = folder, (Path(folder) / CARD).stat().st_mtime_ns if Path(folder).is_dir() else 0
        if self._known is None or self._known[0] != key:
            self._known = None  # two models need not fit into memory
            self._known = key, load_model(folder)
        return self._known[1]

    def _estimate(self, request: Mapping[str, Any], model: Model) -> dict[str, Any]:
        import numpy as np

        from medseg.inference.estimate import estimate
        from medseg.types import Volume
        from medseg_napari.run.exchange import read_geometry

        self._say({"event": "phase", "phase": "estimating"})
        geometry = read_geometry(request["geometry"])
        nothing = np.broadcast_to(np.int16(0), geometry.shape)  # the grid alone is asked for
        first = {model.card.channels[0].name: Volume(nothing, geometry)}
        found = estimate(first, model, device=request["device"])
        return {"event": "estimate", **vars(found)}

    def _segment(self, request: Mapping[str, Any], model: Model) -> dict[str, Any]:
        from medseg.inference.segmentation import segment
        from medseg_napari.run.exchange import RESULT, read_volume
        from medseg_napari.session.snapshot import write_snapshot

        volumes = {
            name: read_volume(header, self._folder) for name, header in request["volumes"].items()
        }
        self._say({"event": "phase", "phase": "segmenting"})
        found = segment(
            volumes,
            model,
            at=request["at"],
            device=request["device"],
            progress=self._progress,
        )
        write_snapshot(found, self._folder / RESULT)
        return {"event": "result", "file": RESULT}

    def _progress(self, done: int, total: int) -> None:
        self._say({"event": "progress", "done": done, "total": total})

    def _say(self, message: Mapping[str, Any]) -> None:
        self._answers.write(json.dumps(message).encode() + b"\n")
        self._answers.flush()


def _listen(requests: BinaryIO, folder: Path, queue: Queue[dict[str, Any]]) -> None:
    """Hand on every request; when there are no more, end the process whatever it is doing."""
    for line in requests:
        queue.put(json.loads(line))
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def main() -> None:
    """Serve until stdin ends."""
    folder = Path(sys.argv[1])
    sys.path[:] = sys.argv[2:]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(os, "nice"):
        os.nice(_NICER)
    queue: Queue[dict[str, Any]] = Queue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, folder, queue), daemon=True).start()
    server = _Server(folder, answers)
    while True:
        server.answer(queue.get())


if __name__ == "__main__":
    main()
