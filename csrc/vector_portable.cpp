#include "vector_body.h"

const sscaffe::VectorKernels sscaffe::portable_kernels = kVectorKernels;
