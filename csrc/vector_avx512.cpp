#if defined(__x86_64__)

#include "vector_body.h"

const sscaffe::VectorKernels sscaffe::avx512_kernels = kVectorKernels;

#endif
