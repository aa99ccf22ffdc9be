"""`python -m examples.demo` runs the demo, `python -m examples.demo page` opens it in the Dagster page."""

import argparse
import os
import sys
from pathlib import Path

from examples.demo.project import ROOT, DemoError, Project, UsageError


def main() -> int:
    """The exit code: 0 done, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.demo", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("command", nargs="?", choices=("run", "page"), default="run")
    parser.add_argument("--folder", type=Path, default=ROOT / "demo_data", help="where all of it lies")
    parser.add_argument("--port", type=int, default=3000, help="of the page")
    arguments = parser.parse_args()
    project = Project(arguments.folder)
    try:
        if arguments.command == "page":
            from examples.demo import page

            page.serve(project, arguments.port, say)
            return 0
        project.start_over()
        os.environ["TRANSFORMERS_VERBOSITY"] = "error"  # read on import; else it asks for torchvision
        from examples.demo import show

        show.run(project, say)
    except DemoError as error:
        print(error, file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return 130
    return 0


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
