// A stand-in for some of cuBLAS, on the host.

#include <cstring>
#include <vector>

#include "deferred.hpp"

namespace {

template <typename T>
struct Gemm {
    bool transpose_a, transpose_b;
    int m, n, k;
    T alpha, beta;
    const T* a;
    int lda;
    long long stride_a;
    const T* b;
    int ldb;
    long long stride_b;
    T* c;
    int ldc;
    long long stride_c;
    int count;

    void run() const {
        for (int i = 0; i < count; ++i) one(a + i * stride_a, b + i * stride_b, c + i * stride_c);
    }

    void one(const T* a_of, const T* b_of, T* c_of) const {
        std::vector<T> left(size_t(m) * k);  // columns first
        for (int l = 0; l < k; ++l) {
            for (int i = 0; i < m; ++i) {
                left[i + size_t(l) * m] =
                    transpose_a ? a_of[l + size_t(i) * lda] : a_of[i + size_t(l) * lda];
            }
        }
        std::vector<double> sums(m);
        for (int j = 0; j < n; ++j) {
            std::fill(sums.begin(), sums.end(), 0);
            for (int l = 0; l < k; ++l) {
                const T factor =
                    transpose_b ? b_of[j + size_t(l) * ldb] : b_of[l + size_t(j) * ldb];
                const T* column = left.data() + size_t(l) * m;
                for (int i = 0; i < m; ++i) sums[i] += double(column[i]) * factor;
            }
            T* out = c_of + size_t(j) * ldc;
            for (int i = 0; i < m; ++i) {
                const T before = beta == 0 ? T(0) : beta * out[i];  // what is there may be NaN
                out[i] = T(alpha * sums[i]) + before;
            }
        }
    }
};

constexpr int kInvalidValue = 7;

template <typename T>
int gemm(const shim::Handle* handle, const Gemm<T>& call) {
    const bool fits = call.lda >= (call.transpose_a ? call.k : call.m) &&
                      call.ldb >= (call.transpose_b ? call.n : call.k) && call.ldc >= call.m;
    if (!fits || call.m < 0 || call.n < 0 || call.k < 0) return kInvalidValue;
    return shim::submit_call(handle, call);
}

}  // namespace

extern "C" {

int cublasCreate_v2(shim::Handle** handle) {
    *handle = new shim::Handle;
    return 0;
}
int cublasDestroy_v2(shim::Handle* handle) {
    delete handle;
    return 0;
}
int cublasSetStream_v2(shim::Handle* handle, void* stream) {
    handle->stream = stream;
    return 0;
}
int cublasSetWorkspace_v2(shim::Handle*, void* memory, size_t size) {
    std::memset(memory, 0xff, size);  // it is the library's to write to
    return 0;
}
int cublasSetMathMode(shim::Handle*, int) {
    return 0;
}
int cublasSetPointerMode_v2(shim::Handle*, int mode) {
    return mode ? kInvalidValue : 0;
}

#define GEMM(name, T)                                                                              \
    int cublas##name##_v2(const shim::Handle* handle, int ta, int tb, int m, int n, int k,         \
                          const T* alpha, const T* a, int lda, const T* b, int ldb, const T* beta, \
                          T* c, int ldc) {                                                         \
        return gemm<T>(handle, {ta != 0, tb != 0, m, n, k, *alpha, *beta, a, lda, 0, b, ldb, 0, c, \
                                ldc, 0, 1});                                                       \
    }                                                                                              \
    int cublas##name##StridedBatched(const shim::Handle* handle, int ta, int tb, int m, int n,     \
                                     int k, const T* alpha, const T* a, int lda, long long sa,     \
                                     const T* b, int ldb, long long sb, const T* beta, T* c,       \
                                     int ldc, long long sc, int count) {                           \
        return gemm<T>(handle, {ta != 0, tb != 0, m, n, k, *alpha, *beta, a, lda, sa, b, ldb, sb,  \
                                c, ldc, sc, count});                                               \
    }
GEMM(Sgemm, float)
GEMM(Dgemm, double)

}  // extern "C"
