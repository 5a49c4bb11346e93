"""Prototxts of well-known nets, written by rules instead of by hand: nets, solvers, SSL."""

from sscaffe.generate.caffenet import alexnet, caffenet
from sscaffe.generate.googlenet import googlenet
from sscaffe.generate.model import Model, files_of
from sscaffe.generate.resnet import resnet
from sscaffe.generate.squeezenet import squeezenet
from sscaffe.generate.vgg16 import vgg16

__all__ = ["Model", "alexnet", "caffenet", "files_of", "googlenet", "resnet", "squeezenet", "vgg16"]
