"""One HTML page of a training or a sweep: no network, no other files."""

from sscaffe.report.collect import Run, collect
from sscaffe.report.page import page

__all__ = ["Run", "collect", "page"]
