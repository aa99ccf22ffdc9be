"""The command as a process: what the script `hf-assets` calls."""

import atexit
import os
import sys

from hf_assets.cli import app

INTERRUPTED = 130


def program() -> None:
    """Run the command, and leave as soon as all has been tidied up.

    Libraries' own threads may still be about to end when the interpreter takes their code down: then a command that had
    done all it should ended with an abort ("terminate called without an active exception"), one time in twenty.
    """
    code = 1
    atexit.register(lambda: _leave(code))  # the first to be registered is the last to be called
    try:
        app()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        raise
    except KeyboardInterrupt:
        code = INTERRUPTED
        raise


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
