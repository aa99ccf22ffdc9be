"""The command as a process: what the script `hf-assets` calls."""

import atexit
import os
import sys

from hf_assets import inert
from hf_assets.cli import app
from hf_assets.cli.options import FAILED

INTERRUPTED = 130


def program() -> None:
    """Run the command, and leave as soon as all has been tidied up.

    Libraries' own threads may still be about to end when the interpreter takes their code down: then a command that had
    done all it should ended with an abort ("terminate called without an active exception"), one time in twenty.
    """
    code = FAILED
    inert.all_of_this_process()
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
    except Exception as error:  # a bug, of ours or of a library, whose message may quote what it read
        print(inert.trace(error), end="", file=sys.stderr)
        raise SystemExit(code) from None


def _leave(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
