"""All assets of a run in one process: starting one for each takes seconds, and none of them waits for another."""

import dagster as dg

defs = dg.Definitions(executor=dg.in_process_executor)
