"""All benchmarks: `make bench`. Figures of one run may be compared with each other, those of two machines not."""

import argparse
import subprocess
import sys

BENCHMARKS = (
    ("benchmarks.plan_1m", "--refresh"),
    ("benchmarks.rows",),
    ("benchmarks.mixing",),
    ("benchmarks.reading",),
    ("benchmarks.opening", "--rows", "1000000"),
    ("benchmarks.decoding",),
    ("benchmarks.side_by_side",),
    ("benchmarks.video",),
    ("benchmarks.audio",),
    ("benchmarks.text",),
    ("benchmarks.feeding",),
    ("benchmarks.scaling",),
    ("benchmarks.export",),
)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for command in BENCHMARKS:
        print(f"== {' '.join(command)}", flush=True)
        subprocess.run([sys.executable, "-m", *command], check=True)


if __name__ == "__main__":
    main()
