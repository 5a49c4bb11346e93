#if defined(__x86_64__)

#include "vector_body.h"

const sscaffe::VectorKernels sscaffe::avx2_kernels = kVectorKernels;

#endif
