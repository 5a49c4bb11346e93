#pragma once

// Included by vector_<isa>.cpp alone: see vector_kernels.h for why everything is in an anonymous
// namespace.

#include "vector_kernels.h"

// After the tables that they fill.
#include "direct_sparse_body.h"
#include "elementwise_body.h"
#include "gemm_body.h"
#include "implicit_gemm_body.h"
#include "lrn_body.h"
#include "pooling_body.h"
#include "sparse_body.h"

namespace {

template <typename T>
constexpr sscaffe::TypedKernels<T> kTypedKernels = {
    kGemmKernel<T>,  sparse_product<T>, lrn_forward<T>,
    lrn_backward<T>, max_pool_row<T>,   sum_pool_row<T>,
};

constexpr sscaffe::VectorKernels kVectorKernels = {
    {add_scaled, scale, sum_of_squares, add_squares, add_products, momentum_step, threshold,
     relu_forward, relu_backward},
    kImplicitGemmKernel,
    kDirectSparseKernel,
    kTypedKernels<float>,
    kTypedKernels<double>,
};

}  // namespace
