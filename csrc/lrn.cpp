#include "lrn.h"

#include <algorithm>

#include "aligned.h"
#include "cpu_features.h"
#include "parallel.h"

namespace sscaffe {
namespace {

// Positions that are worked on at a time: the channels' pieces stay in the second cache.
constexpr int64_t kPiece = 128;

int64_t pieces_of(const LrnSizes& sizes) {
    return (sizes.positions + kPiece - 1) / kPiece;
}

int64_t grain(const LrnSizes& sizes) {
    return grain_of(sizes.channels * sizes.size * std::min(kPiece, sizes.positions));
}

// Call fn(sizes of the piece, offset of its first element) for pieces [first, last) of all images.
template <typename Function>
void for_each_piece(const LrnSizes& sizes, int64_t first, int64_t last, const Function& fn) {
    const int64_t pieces = pieces_of(sizes);
    for (int64_t i = first; i < last; ++i) {
        const int64_t position = i % pieces * kPiece;
        const LrnKernelSizes part{sizes.channels, sizes.positions,
                                  std::min(kPiece, sizes.positions - position), sizes.size,
                                  (sizes.size - 1) / 2};
        fn(part, i / pieces * sizes.channels * sizes.positions + position);
    }
}

}  // namespace

template <typename T>
void lrn_across_forward(const LrnSizes& sizes, const LrnConstants<T>& constants, const T* x,
                        T* scale, T* y) {
    const auto kernel = typed_kernels<T>().lrn_forward;
    const auto [alpha, beta, k] = constants;
    parallel_for(
        0, sizes.images * pieces_of(sizes), grain(sizes), [=](int64_t first, int64_t last) {
            for_each_piece(sizes, first, last, [=](const LrnKernelSizes& part, int64_t at) {
                kernel(part, alpha, beta, k, x + at, scale + at, y + at);
            });
        });
}

template <typename T>
void lrn_across_backward(const LrnSizes& sizes, const LrnConstants<T>& constants, const T* x,
                         const T* scale, const T* dy, T* dx) {
    const auto kernel = typed_kernels<T>().lrn_backward;
    const T alpha = constants.alpha, beta = constants.beta;
    const int64_t room = (sizes.channels + 1) * std::min(kPiece, sizes.positions);
    const AlignedArray<T> rooms = make_aligned<T>(get_num_threads() * room);
    parallel_for(
        0, sizes.images * pieces_of(sizes), grain(sizes), [&](int64_t first, int64_t last) {
            T* ratios = rooms.get() + omp_get_thread_num() * room;
            for_each_piece(sizes, first, last, [&](const LrnKernelSizes& part, int64_t at) {
                kernel(part, alpha, beta, x + at, scale + at, dy + at, dx + at, ratios);
            });
        });
}

template void lrn_across_forward(const LrnSizes&, const LrnConstants<float>&, const float*, float*,
                                 float*);
template void lrn_across_forward(const LrnSizes&, const LrnConstants<double>&, const double*,
                                 double*, double*);
template void lrn_across_backward(const LrnSizes&, const LrnConstants<float>&, const float*,
                                  const float*, const float*, float*);
template void lrn_across_backward(const LrnSizes&, const LrnConstants<double>&, const double*,
                                  const double*, const double*, double*);

}  // namespace sscaffe
