"""The demo: LeNet is trained, made structurally sparse, fine-tuned and timed."""

from sscaffe.demo.images import digits, mnist
from sscaffe.demo.run import FULL, SHORT, Demo, DemoResult

__all__ = ["FULL", "SHORT", "Demo", "DemoResult", "digits", "mnist"]
