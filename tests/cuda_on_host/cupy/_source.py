"""CUDA sources, as far as the stand-in must understand them: kernels and what they take."""

import re
from dataclasses import dataclass, field

import numpy as np

TYPES = {
    "float": "float32", "double": "float64", "int": "int32", "unsigned int": "uint32",
    "unsigned": "uint32", "unsigned char": "uint8", "signed char": "int8", "char": "int8",
    "bool": "bool", "short": "int16", "unsigned short": "uint16", "long long": "int64",
    "long long int": "int64", "unsigned long long": "uint64", "size_t": "uint64",
    "float2": "float32", "float4": "float32", "double2": "float64", "int2": "int32",
    "int4": "int32", "uint2": "uint32", "uint4": "uint32", "uchar4": "uint8",
}  # fmt: skip
VECTORS = {"2": 2, "4": 4}
BARRIERS = re.compile(r"\b(__syncthreads|__syncwarp|__shfl\w*|__ballot\w*|__any_sync|__all_sync)\b")
BOUNDS = r"(?:__launch_bounds__\s*\(\s*(\d+)[^)]*\)\s*)?"
KERNEL = re.compile(
    rf'extern\s*"C"\s*__global__\s+{BOUNDS}void\s+{BOUNDS}(\w+)\s*\(([^)]*)\)\s*{{', re.DOTALL
)
SHARED = re.compile(
    r"extern\s+__shared__\s+(?:__attribute__\(\(aligned\(\d+\)\)\)\s*)?"
    r"([\w\s]+?)\s+(\w+)\s*\[\s*\]\s*;"
)
# CUDA takes an alignment in the middle of a declaration; of g++'s two words only the GNU one may.
ALIGNED = re.compile(r"\b(?:__align__|alignas)\s*\(\s*(\d+)\s*\)")
GNU_ALIGNED = r"__attribute__((aligned(\1)))"


@dataclass
class Parameter:
    """One parameter of a kernel: its C++ type, and what NumPy calls it."""

    type: str
    name: str
    pointer: bool
    dtype: np.dtype | None  # None: any
    vector: int = 1  # elements that the pointer's type holds
    const: bool = False

    def check(self, value, kernel):
        """Refuse what a GPU would take for something else without a word."""
        where = f"{kernel}: {self.type} {self.name}"
        if self.pointer:
            if self.dtype is not None and value.dtype != self.dtype:
                raise TypeError(f"{where} was given an array of {value.dtype}")
            if not value.flags.c_contiguous:
                raise TypeError(f"{where} was given an array that is not C-contiguous")
            if value.ctypes.data % (self.vector * value.itemsize) and value.size:
                raise TypeError(f"{where} was given an array at a misaligned address")
        elif not isinstance(value, np.generic):
            raise TypeError(f"{where} was given {type(value).__name__}")
        elif self.dtype is not None and value.dtype != self.dtype:
            raise TypeError(f"{where} was given a {value.dtype}")


@dataclass
class Kernel:
    """A kernel of a source."""

    name: str
    parameters: list[Parameter] = field(default_factory=list)
    most_threads: int = 1024


def parse_parameter(text):
    words = re.sub(r"\b__restrict(__)?\b", " ", text)
    words = re.sub(r"\*\s*const\b", "*", words)
    kind, name = re.fullmatch(r"\s*(.*?)(\w+)\s*", words, re.DOTALL).groups()
    pointer = "*" in kind
    bare = re.sub(r"\bconst\b|\bvolatile\b|\*", " ", kind)
    bare = " ".join(bare.split())
    dtype = np.dtype(TYPES[bare]) if bare in TYPES else None
    vector = VECTORS.get(bare[-1:], 1) if bare in TYPES else 1
    by_value = dtype if pointer or vector == 1 else None
    return Parameter(
        " ".join(kind.split()), name, pointer, by_value, vector, bool(re.search(r"\bconst\b", kind))
    )


def parse_kernels(source):
    """Return the kernels of a preprocessed source by name."""
    kernels = {}
    for before, after, name, parameters in KERNEL.findall(source):
        parts = [part for part in parameters.split(",") if part.strip() not in ("", "void")]
        most = int(before or after or 1024)
        kernels[name] = Kernel(name, [parse_parameter(part) for part in parts], most)
    return kernels


def to_host(source, kernels):
    """Return C++ for the host: the source, and for each kernel a function that starts it."""
    body = SHARED.sub(
        r"\1* const \2 = reinterpret_cast<\1*>(shim::dynamic_shared);",
        ALIGNED.sub(GNU_ALIGNED, source),
    )
    body = re.sub(r'extern\s*"C"\s*(?=__global__)', "", body)  # C's library has a "raise", too
    body = _poison_shared(body)
    barriers = "true" if BARRIERS.search(source) else "false"
    starters = "".join(_starter(kernel, barriers) for kernel in kernels.values())
    return f'#include "shim.hpp"\nnamespace kernels {{\n{body}\n{starters}}}\n'


def _poison_shared(source):
    """Let each __shared__ variable of a function hold no value that a kernel could rely on."""

    def poisoned(match):
        before = source[: match.start()]
        if before.count("{") <= before.count("}"):
            return match[0]
        names = re.findall(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:,|$)", match[1])
        return match[0] + "".join(
            f" {{ static size_t poisoned = 0; shim::poison_shared({name}, poisoned); }}"
            for name in names
        )

    return re.sub(r"__shared__\s+([^;{}()]+);", poisoned, source)


def _starter(kernel, barriers):
    casts = ", ".join(
        f"*static_cast<std::remove_const_t<{p.type}>*>(args[{i}])"
        for i, p in enumerate(kernel.parameters)
    )
    arrays = ", ".join(
        f"{{static_cast<char**>(args[{i}]), bytes[{i}], alignments[{i}], {str(p.const).lower()}}}"
        for i, p in enumerate(kernel.parameters)
        if p.pointer
    )
    return f"""
static void body_{kernel.name}([[maybe_unused]] void** args) {{ {kernel.name}({casts}); }}
extern "C" bool launch_{kernel.name}(const unsigned* grid, const unsigned* block, unsigned shared,
                                     void** args, const size_t* bytes, const size_t* alignments,
                                     char* message, size_t size) {{
    return shim::run(grid, block, shared, {barriers}, body_{kernel.name}, args, {{{arrays}}},
                     message, size);
}}
"""
