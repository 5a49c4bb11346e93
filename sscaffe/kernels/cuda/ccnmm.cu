// Convolution by weights without their rows and columns of zeros, as a matrix product whose second
// factor is read from the images themselves.
//
// A group's kept columns are a table of places in a window, so that no lowered matrix is written; a
// block computes a tile of kept rows x output positions, and writes it to the rows' channels.
#include "common.cuh"
#include "places.cuh"

// What does not change from block to block.
struct Sizes {
    int total, image_size, depth, height, width, out_depth, out_height, out_width;
    int stride_z, stride_y, stride_x, channels, most_columns, padded_rows, most_dropped;
};

// BM rows x BN positions a block, BK columns a step; a thread has RM x RN tiles of 4 x 4, which lie
// apart so that the threads of a warp read neighbours.
template <int BM, int BN, int BK, int RM, int RN, bool DEEP>
__device__ void implicit_gemm(const Real* __restrict__ images, const Real* __restrict__ weights,
                              const Place* __restrict__ places, const int* __restrict__ steps,
                              const int* __restrict__ row_channels,
                              const int* __restrict__ dropped, const Real* __restrict__ bias,
                              Real* __restrict__ tops, int relu, const Sizes& sizes) {
    constexpr int THREADS = 256, TX = BN / (4 * RN), TY = BM / (4 * RM);
    constexpr int DEPTH = THREADS / BN;           // columns that the block gathers at a time
    constexpr int GATHERED = BK / DEPTH;          // elements of a thread in a step
    constexpr int FOURS = BM * BK / 4, LOADED = (FOURS + THREADS - 1) / THREADS;  // of weights
    static_assert(TX * TY == THREADS && TY * BN <= 2 * BK * BN, "tiles of 256 threads");
    __shared__ alignas(16) Real a[2][BK][BM];
    __shared__ alignas(16) Real b[2][BK][BN];

    const int thread = threadIdx.x, group = blockIdx.z;
    const int column = thread % BN, deep = thread / BN;
    const int position = blockIdx.x * BN + column;
    const int out_size = sizes.out_depth * sizes.out_height * sizes.out_width;
    const bool valid = unsigned(position) < unsigned(sizes.total);
    const int image = valid ? position / out_size : 0;
    const int s = valid ? position - image * out_size : 0;
    Real* top = tops + (long long)image * sizes.channels * out_size + s;

    // Blocks behind the last tile of rows write the channels that have lost their row.
    if (blockIdx.y * BM >= sizes.padded_rows) {
        for (int i = deep; i < sizes.most_dropped; i += DEPTH) {
            const int channel = dropped[group * sizes.most_dropped + i];
            if (channel < 0 || !valid) continue;
            const Real value = bias ? bias[channel] : Real(0);
            top[(long long)channel * out_size] = relu && value < Real(0) ? Real(0) : value;
        }
        return;
    }

    const int ox = s % sizes.out_width, oy = s / sizes.out_width % sizes.out_height;
    const int oz = DEEP ? s / (sizes.out_width * sizes.out_height) : 0;
    const int x = ox * sizes.stride_x, z = DEEP ? oz * sizes.stride_z : 0;
    const int y_inside = oy * sizes.stride_y;
    const int y = valid ? y_inside : 1 << 29;  // outside of every image
    const Real* window = images + (long long)image * sizes.image_size +
                         (z * sizes.height + y_inside) * sizes.width + x;
    const Place* place = places + (long long)group * sizes.most_columns;
    const Real* weight =
        weights + (long long)group * sizes.most_columns * sizes.padded_rows + blockIdx.y * BM;

    Real next_b[GATHERED];
    Pack next_a[LOADED];
    auto fetch = [&](int first) {
#pragma unroll
        for (int i = 0; i < GATHERED; ++i) {
            const Place p = place[first + i * DEPTH + deep];
            bool inside = (unsigned)(y + p.y) < (unsigned)sizes.height &&
                          (unsigned)(x + p.x) < (unsigned)sizes.width;
            if (DEEP) inside = inside && (unsigned)(z + p.z) < (unsigned)sizes.depth;
            next_b[i] = inside ? window[p.offset] : Real(0);
        }
#pragma unroll
        for (int i = 0; i < LOADED; ++i) {
            const int four = i * THREADS + thread;
            if (FOURS % THREADS == 0 || four < FOURS) {
                const int k = four / (BM / 4), m = four % (BM / 4) * 4;
                next_a[i] = *reinterpret_cast<const Pack*>(
                    weight + (long long)(first + k) * sizes.padded_rows + m);
            }
        }
    };
    auto store = [&](int buffer) {
#pragma unroll
        for (int i = 0; i < GATHERED; ++i) b[buffer][i * DEPTH + deep][column] = next_b[i];
#pragma unroll
        for (int i = 0; i < LOADED; ++i) {
            const int four = i * THREADS + thread;
            if (FOURS % THREADS == 0 || four < FOURS) {
                const int k = four / (BM / 4), m = four % (BM / 4) * 4;
                *reinterpret_cast<Pack*>(&a[buffer][k][m]) = next_a[i];
            }
        }
    };

    const int tx = thread % TX, ty = thread / TX;
    Real sums[4 * RM][4 * RN];
#pragma unroll
    for (int i = 0; i < 4 * RM; ++i) {
#pragma unroll
        for (int j = 0; j < 4 * RN; ++j) sums[i][j] = Real(0);
    }
    const int count = steps[group] / BK;  // whole steps: the tables are filled up
    fetch(0);
    store(0);
    __syncthreads();
    for (int step = 0; step < count; ++step) {
        const int buffer = step & 1;
        if (step + 1 < count) fetch((step + 1) * BK);
#pragma unroll
        for (int k = 0; k < BK; ++k) {
            Pack left[RM], right[RN];
#pragma unroll
            for (int r = 0; r < RM; ++r) {
                left[r] = *reinterpret_cast<const Pack*>(&a[buffer][k][r * (BM / RM) + ty * 4]);
            }
#pragma unroll
            for (int r = 0; r < RN; ++r) {
                right[r] = *reinterpret_cast<const Pack*>(&b[buffer][k][r * (BN / RN) + tx * 4]);
            }
#pragma unroll
            for (int i = 0; i < 4 * RM; ++i) {
#pragma unroll
                for (int j = 0; j < 4 * RN; ++j) {
                    sums[i][j] += left[i / 4].at[i % 4] * right[j / 4].at[j % 4];
                }
            }
        }
        if (step + 1 < count) store(buffer ^ 1);
        __syncthreads();
    }

    // A row of each thread at a time goes through shared memory, so that whole lines are written.
    Real(*staged)[BN] = reinterpret_cast<Real(*)[BN]>(&b[0][0][0]);
    const int* channels = row_channels + group * sizes.padded_rows + blockIdx.y * BM;
#pragma unroll
    for (int i = 0; i < 4 * RM; ++i) {
#pragma unroll
        for (int r = 0; r < RN; ++r) {
            Pack four;
#pragma unroll
            for (int j = 0; j < 4; ++j) four.at[j] = sums[i][r * 4 + j];
            *reinterpret_cast<Pack*>(&staged[ty][r * (BN / RN) + tx * 4]) = four;
        }
        __syncthreads();
        for (int row = deep; row < TY; row += DEPTH) {
            const int channel = channels[i / 4 * (BM / RM) + row * 4 + i % 4];
            if (channel >= 0 && valid) {
                Real value = staged[row][column];
                if (bias) value += bias[channel];
                top[(long long)channel * out_size] = relu && value < Real(0) ? Real(0) : value;
            }
        }
        __syncthreads();
    }
}

// Blocks that share a multiprocessor; doubles leave room for one.
constexpr int SOME = sizeof(Real) == 4 ? 2 : 1, MANY = sizeof(Real) == 4 ? 3 : 1;

// A kernel for each shape of tiles. Grid: (positions / BN, rows / BM, plus 1 where rows have been
// dropped, groups); 256 threads.
//
//   images        [n][channels of all groups][depth][height][width]
//   weights       [group][most_columns][padded_rows]   0 where there are no more
//   places        [group][most_columns]                in each group filled up to `steps`
//   steps         [group]                              kept columns, in multiples of 16
//   row_channels  [group][padded_rows]                 -1 where there are no more
//   dropped       [group][most_dropped]                channels without a row; -1 likewise
//   bias          [channels] or null
//   tops          [n][channels][positions of an image] overwritten
#define IMPLICIT_GEMM(name, BLOCKS, BM, BN, BK, RM, RN, DEEP)                                      \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS)                                      \
        name(const Real* __restrict__ images, const Real* __restrict__ weights,                    \
             const Place* __restrict__ places, const int* __restrict__ steps,                      \
             const int* __restrict__ row_channels, const int* __restrict__ dropped,                \
             const Real* __restrict__ bias, Real* __restrict__ tops, int relu, int total,          \
             int image_size, int depth, int height, int width, int out_depth, int out_height,      \
             int out_width, int stride_z, int stride_y, int stride_x, int channels,                \
             int most_columns, int padded_rows, int most_dropped) {                                \
        const Sizes sizes = {total,      image_size,   depth,       height,      width,            \
                             out_depth,  out_height,   out_width,   stride_z,    stride_y,         \
                             stride_x,   channels,     most_columns, padded_rows, most_dropped};   \
        implicit_gemm<BM, BN, BK, RM, RN, DEEP>(images, weights, places, steps, row_channels,      \
                                                dropped, bias, tops, relu, sizes);                 \
    }

IMPLICIT_GEMM(implicit_128x128, SOME, 128, 128, 8, 2, 2, false)
IMPLICIT_GEMM(implicit_128x64, SOME, 128, 64, 16, 2, 1, false)
IMPLICIT_GEMM(implicit_96x128, SOME, 96, 128, 8, 3, 1, false)
IMPLICIT_GEMM(implicit_64x128, SOME, 64, 128, 16, 1, 2, false)
IMPLICIT_GEMM(implicit_64x64, MANY, 64, 64, 16, 1, 1, false)
IMPLICIT_GEMM(implicit_32x128, MANY, 32, 128, 16, 1, 1, false)
IMPLICIT_GEMM(implicit_64x64_deep, MANY, 64, 64, 16, 1, 1, true)
