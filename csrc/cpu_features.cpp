#include "cpu_features.h"

#include <atomic>
#include <stdexcept>
#include <vector>

namespace sscaffe {
namespace {

struct Isa {
    const char* name;
    const VectorKernels* kernels;
};

// What this machine can run, the best first.
std::vector<Isa> supported_isas() {
    std::vector<Isa> isas;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("x86-64-v4")) isas.push_back({"avx512", &avx512_kernels});
    if (__builtin_cpu_supports("x86-64-v3")) isas.push_back({"avx2", &avx2_kernels});
#endif
    isas.push_back({"portable", &portable_kernels});
    return isas;
}

std::atomic<const VectorKernels*>& selected() {
    static std::atomic<const VectorKernels*> kernels = supported_isas().front().kernels;
    return kernels;
}

}  // namespace

std::string get_isa() {
    for (const Isa& isa : supported_isas()) {
        if (isa.kernels == selected()) return isa.name;
    }
    throw std::logic_error("the instruction set in use is not a supported one");
}

void set_isa(const std::string& name) {
    std::string names;
    for (const Isa& isa : supported_isas()) {
        if (isa.name == name) {
            selected() = isa.kernels;
            return;
        }
        names += names.empty() ? isa.name : std::string(", ") + isa.name;
    }
    throw std::invalid_argument("SSCAFFE_ISA: expected one that this machine has (" + names +
                                "), got " + name);
}

const VectorKernels& vector_kernels() {
    return *selected();
}

template <>
const TypedKernels<float>& typed_kernels() {
    return vector_kernels().for_float;
}

template <>
const TypedKernels<double>& typed_kernels() {
    return vector_kernels().for_double;
}

}  // namespace sscaffe
