"""Tables as Markdown for the page: small, escaped, pure."""

from hf_assets.report.markdown import buckets, examples, failures, funnel

__all__ = ["buckets", "examples", "failures", "funnel"]
