#pragma once

#include <string>

#include "vector_kernels.h"

namespace sscaffe {

// The instruction set in use: "avx512", "avx2" or "portable".  At first the best this machine has.
std::string get_isa();

// Use another instruction set from now on, for tests and measurements.
//
// Throws std::invalid_argument for an unknown name, or one that this machine does not have.  Not
// to be called while a kernel runs.
void set_isa(const std::string& name);

// The inner loops for the instruction set in use.
const VectorKernels& vector_kernels();

// Those of them that exist for float and double.
template <typename T>
const TypedKernels<T>& typed_kernels();
template <>
const TypedKernels<float>& typed_kernels();
template <>
const TypedKernels<double>& typed_kernels();

}  // namespace sscaffe
