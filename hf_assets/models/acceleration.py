"""What may make an autoencoder faster on a GPU. Off unless it is asked for, and part of no key.

Each is equal to the plain encoder within what another batch size moves (tested on the CPU, graphs as far as that goes).

Shape letters: B batch; what follows it depends on the medium.
"""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeAlias

from hf_assets.errors import ModelError

if TYPE_CHECKING:
    import torch

    # (B, …) -> the mean of each posterior, and its deviation where there is one.
    Compute: TypeAlias = Callable[[torch.Tensor], "tuple[torch.Tensor, torch.Tensor | None]"]

# A shape is recorded when it comes for this time: those that come less often are computed as ever.
HOT = 3
# So many shapes are recorded at most; each holds its input, its results and its share of a pool.
MOST_GRAPHS = 16
# Before a recording the function runs so often, so that libraries have chosen their ways and their memory.
WARM_UPS = 3


def lay_out(model: Any) -> None:
    """Keep weights of convolutions with channels last, as the tensor cores of GPUs read them."""
    import torch

    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for weight in model.parameters():
        if weight.ndim in formats:
            weight.data = weight.data.contiguous(memory_format=formats[weight.ndim])


def compile_encoder(model: Any, *, backend: str = "inductor") -> None:
    """Compile the encoder itself, once for each shape: worth it where few shapes have many samples.

    Raises:
        ModelError: the autoencoder has no encoder of its own.
    """
    encoder = getattr(model, "encoder", None)
    if encoder is None:
        raise ModelError(
            f"{type(model).__name__} has no encoder to compile: unset compile of the gpu resource (HF_ASSETS_COMPILE)"
        )
    encoder.compile(dynamic=False, backend=backend)


class Recorded:
    """A function of one tensor, whose kernels are replayed for shapes that come often (`torch.cuda.CUDAGraph`).

    Replaying starts all kernels of an encoder at once, where a small batch leaves a GPU waiting for the next one.
    """

    def __init__(self, compute: "Compute", record: "Callable[[Compute, torch.Tensor], Compute] | None" = None) -> None:
        """
        Args:
            record: what records; None: a CUDA graph. Given the function and an input, it gives the function that
                replays, whose results are the caller's own.
        """
        self.compute = compute
        self.record = record or CudaGraphs()
        self.seen: dict[Hashable, int] = {}
        self.graphs: dict[Hashable, Compute] = {}

    def __call__(self, media: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor | None]":
        shape = (*media.shape, media.dtype)
        if shape in self.graphs:
            return self.graphs[shape](media)
        self.seen[shape] = self.seen.get(shape, 0) + 1
        if self.seen[shape] < HOT or len(self.graphs) == MOST_GRAPHS:
            return self.compute(media)
        self.graphs[shape] = self.record(self.compute, media)
        return self.graphs[shape](media)


class CudaGraphs:
    """Records on the current device. Graphs share one pool of memory: one is replayed at a time, and its results are
    copied before the next.
    """

    def __init__(self) -> None:
        """
        Raises:
            ModelError: there is no GPU.
        """
        import torch

        if not torch.cuda.is_available():
            raise ModelError(
                "cuda_graphs of the gpu resource needs a GPU, and torch finds none here: unset it "
                "(HF_ASSETS_CUDA_GRAPHS)"
            )
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, compute: "Compute", media: "torch.Tensor") -> "Compute":
        """
        Raises:
            ModelError: the function waits for the device, or else does what can't be recorded.
        """
        import torch

        try:
            return self._recorded(compute, media)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            why = " ".join(str(error).split())[:300]
            raise ModelError(
                f"what this VAE computes can't be recorded ({why}): unset cuda_graphs of the gpu resource "
                "(HF_ASSETS_CUDA_GRAPHS)"
            ) from error

    def _recorded(self, compute: "Compute", media: "torch.Tensor") -> "Compute":
        import torch

        held = media.clone()
        stream: Any = torch.cuda.Stream
        aside = stream(media.device)
        aside.wait_stream(torch.cuda.current_stream(media.device))
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                compute(held)
        torch.cuda.current_stream(media.device).wait_stream(aside)
        graph: Any = torch.cuda.CUDAGraph()
        # Other threads go on meanwhile, and may pin memory or copy.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            mean, deviation = compute(held)

        def replay(media: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor | None]":
            held.copy_(media)
            graph.replay()
            return mean.clone(), None if deviation is None else deviation.clone()

        return replay
