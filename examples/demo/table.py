"""What each run computed and reused, as plain text."""

from collections.abc import Sequence

from examples.demo.runs import Run

HEAD = """\
                                   latents             embeds       media
run                            computed  reused   computed  reused   read      seconds"""


def of_runs(runs: Sequence[tuple[str, Run]]) -> str:
    """One line per run."""
    return "\n".join([HEAD, *(_line(number, name, run) for number, (name, run) in enumerate(runs, 1))])


def _line(number: int, name: str, run: Run) -> str:
    latents, embeds = run.counts["vae_latents"], run.counts["text_embeds"]
    return (
        f"{number}  {name:<27} {latents.computed:>8} {latents.reused:>7}   {embeds.computed:>8} {embeds.reused:>7}"
        f"   {size(run.media_bytes):>8} {run.seconds:>9.0f}"
    )


def size(num_bytes: int) -> str:
    """Bytes as people read them."""
    if num_bytes < 1_000:
        return f"{num_bytes} B"
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:.0f} kB"
