#pragma once

// Included by vector_<isa>.cpp alone: see vector_kernels.h for why everything is in an anonymous
// namespace.

#include "vector_kernels.h"

// After the tables that they fill.
#include "channels_body.h"
#include "direct_sparse_body.h"
#include "elementwise_body.h"
#include "eltwise_body.h"
#include "gemm_body.h"
#include "implicit_gemm_body.h"
#include "lrn_body.h"
#include "panels_body.h"
#include "pooling_body.h"
#include "softmax_body.h"
#include "sparse_body.h"
#include "sparse_matrix_body.h"
#include "update_body.h"
#include "winograd_body.h"
#include "winograd_product_body.h"
// After the loops that its table names.
#include "winograd_filter_body.h"

namespace {

template <typename T>
constexpr sscaffe::TypedKernels<T> kTypedKernels = {
    kGemmKernel<T>, kSparseKernel<T>, sparse_product<T>, max_pool_row<T>, sum_pool_row<T>,
};

constexpr sscaffe::VectorKernels kVectorKernels = {
    {add_scaled,
     scale,
     sum_of_squares,
     add_squares,
     add_signs,
     add_products,
     {shrink_by<0>, shrink_by<1>},
     {sgd_step, nesterov_step, adam_step},
     transform_row<uint8_t>,
     transform_row<float>,
     threshold,
     relu_forward,
     relu_backward},
    kImplicitGemmKernel,
    {channel_moments, channel_products, channel_affine, channel_combine},
    {scaled_copy, sum_of_two, product_of_two, larger_of_two, take_larger, select_winner},
    {lrn_forward, lrn_backward, lrn_rows_forward, lrn_rows_backward, lrn_within_forward,
     lrn_within_backward},
    softmax,
    kDirectSparseKernel,
    {max_of_blocks, average_of_blocks},
    panel_product,
    kWinogradKernels,
    kTypedKernels<float>,
    kTypedKernels<double>,
};

}  // namespace
