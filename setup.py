"""Build the C++ core and the protobuf messages; everything else is in pyproject.toml."""

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
PROTO = ROOT / "proto" / "caffe.proto"
GENERATED = ROOT / "sscaffe" / "proto" / "caffe_pb2.py"
ONEDNN = "onednn-devel-cpu-gomp"

# What is changed in the module that protoc writes.
REPLACEMENTS = [
    (r"_descriptor_pool\.Default\(\)", "_descriptor_pool.DescriptorPool()"),
    # The module's place in the package, so that messages can be pickled.
    (r"\(DESCRIPTOR, 'caffe_pb2', _globals\)", "(DESCRIPTOR, 'sscaffe.proto.caffe_pb2', _globals)"),
    # A module made by a newer protoc than the runtime is refused, though it uses nothing new.
    (r"_runtime_version\.ValidateProtobufRuntimeVersion\(.*?\)\n", ""),
]

# Flags of the files that are compiled once for each instruction set; run-time dispatch chooses.
ISA_FLAGS = {
    "_avx2.cpp": ["-march=x86-64-v3"],
    "_avx512.cpp": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
}

# One rounding for each operation, whatever the instruction set. Nobody reads errno or the floating
# point exceptions, and without them square roots and choices become vector instructions.
ROUNDING_FLAGS = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]

# For SSCAFFE_SANITIZE=1, which tools/test_sanitized.sh sets.
SANITIZER_FLAGS = [
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
    "-g1",
    "-O1",
]


def generate_messages() -> None:
    """Make caffe_pb2 from caffe.proto, in a descriptor pool of its own.

    A process may hold another caffe.proto (OpenCV's, pycaffe's); in the default pool the two
    would clash.
    """
    if GENERATED.exists() and GENERATED.stat().st_mtime >= PROTO.stat().st_mtime:
        return
    outputs = [f"--{kind}_out={GENERATED.parent}" for kind in ("python", "pyi")]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO.parent}", *outputs]
    subprocess.run([*command, str(PROTO)], check=True)
    source = GENERATED.read_text(encoding="utf-8")
    for pattern, replacement in REPLACEMENTS:
        source, count = re.subn(pattern, replacement, source, flags=re.DOTALL)
        if count < 1:
            raise SystemExit(f"{GENERATED}: expected {pattern!r}; protoc writes another form")
    GENERATED.write_text(source, encoding="utf-8")


def onednn_prefix() -> Path | None:
    """Return the environment that holds oneDNN's headers, or None without oneDNN.

    SSCAFFE_WITHOUT_ONEDNN=1 builds the core as on machines that oneDNN's wheels are not for.
    """
    if os.environ.get("SSCAFFE_WITHOUT_ONEDNN") == "1":
        return None
    try:
        files = metadata.files(ONEDNN) or []
    except metadata.PackageNotFoundError:
        return None
    header = next(file for file in files if file.name == "dnnl.hpp" and "oneapi" in file.parts)
    return Path(header.locate()).resolve().parents[3]


def core_extension() -> Pybind11Extension:
    """Describe sscaffe._core."""
    sources = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "csrc").glob("*.cpp"))
    if platform.machine() not in ("x86_64", "AMD64"):
        sources = [name for name in sources if not name.endswith(tuple(ISA_FLAGS))]
    extension = Pybind11Extension(
        "sscaffe._core",
        sources,
        cxx_std=17,
        include_dirs=["csrc"],
        depends=[str(path.relative_to(ROOT)) for path in (ROOT / "csrc").glob("*.h")],
        extra_compile_args=["-O3", "-fopenmp", *ROUNDING_FLAGS, "-Wall", "-Wextra"],
        extra_link_args=["-fopenmp"],
    )
    if os.environ.get("SSCAFFE_SANITIZE") == "1":
        extension.extra_compile_args += SANITIZER_FLAGS
        extension.extra_link_args += [*SANITIZER_FLAGS, f"-Wl,-rpath,{sys.prefix}/lib"]
    prefix = onednn_prefix()
    if prefix is None:
        for name in ("dense_onednn", "dense_winograd", "bind_onednn"):
            extension.sources.remove(f"csrc/{name}.cpp")
    else:
        extension.define_macros.append(("SSCAFFE_ONEDNN", "1"))
        extension.include_dirs.append(str(prefix / "include"))
        extension.library_dirs.append(str(prefix / "lib"))
        extension.libraries.append("dnnl")
        # From site-packages/sscaffe to the lib folder of the environment.
        extension.extra_link_args.append("-Wl,-rpath,$ORIGIN/../../..")
    return extension


class BuildCore(build_ext):
    """Compile each file with the flags of its instruction set."""

    def build_extensions(self) -> None:
        compile_one = self.compiler._compile

        def compile_for_isa(obj, src, ext, cc_args, extra_postargs, pp_opts):
            flags = next((f for end, f in ISA_FLAGS.items() if src.endswith(end)), [])
            compile_one(obj, src, ext, cc_args, [*extra_postargs, *flags], pp_opts)

        self.compiler._compile = compile_for_isa
        super().build_extensions()

    def run(self) -> None:
        generate_messages()
        if self.inplace:  # an editable install: the core stays outside the environment
            for extension in self.extensions:
                extension.extra_link_args.append(f"-Wl,-rpath,{sys.prefix}/lib")
        super().run()


class BuildPython(build_py):
    """Make the messages before the package is copied."""

    def run(self) -> None:
        generate_messages()
        super().run()


ParallelCompile("SSCAFFE_BUILD_JOBS", needs_recompile=lambda obj, src: True).install()

setup(ext_modules=[core_extension()], cmdclass={"build_ext": BuildCore, "build_py": BuildPython})
