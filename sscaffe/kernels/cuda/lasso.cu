// Norms of the blocks of group lassos, and sums of squares: in double precision, and in one order
// of summation, so that the bits are the same every time.
#include "common.cuh"
#include "sums.cuh"
#include "tables.cuh"

constexpr int kThreads = 256;  // of each block of these kernels
constexpr int kWarp = 32, kWarps = kThreads / kWarp;

__device__ inline double warp_sum(double value) {
    for (int step = kWarp / 2; step > 0; step /= 2) value += __shfl_down_sync(0xffffffffu, value, step);
    return value;
}

__device__ inline double squared(Real value) { return double(value) * double(value); }

// The sum of squares of block `block` of weights, as far as thread `rank` of `team` has it.
__device__ inline double squares_of_block(const Lasso& t, long long block, int rank, int team) {
    const long long across = t.columns / t.xdimen;
    const long long y = block / across, x = block - y * across;
    const Real* corner = t.weights + y * t.ydimen * t.columns + x * t.xdimen;
    const int xdimen = int(t.xdimen), count = int(t.ydimen * t.xdimen);
    double sum = 0;
    if (xdimen == t.columns) {
        for (int e = rank; e < count; e += team) sum += squared(corner[e]);
        return sum;
    }
    for (int e = rank; e < count; e += team) {
        const int row = e / xdimen;
        sum += squared(corner[row * t.columns + (e - row * xdimen)]);
    }
    return sum;
}

// The squares of 32 neighbouring columns of ydimen rows: a lane takes a column, a warp some rows.
__device__ inline double squares_of_columns(const Lasso& t, long long tile, long long* block) {
    __shared__ double sums[kWarps][kWarp];
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const long long tiles = (t.columns + kWarp - 1) / kWarp;
    const long long y = tile / tiles, column = (tile - y * tiles) * kWarp + lane;
    double sum = 0;
    if (column < t.columns) {
        const Real* top = t.weights + y * t.ydimen * t.columns + column;
#pragma unroll 4
        for (int row = warp; row < int(t.ydimen); row += kWarps) sum += squared(top[row * t.columns]);
    }
    sums[warp][lane] = sum;
    __syncthreads();
    double total = 0;
    for (int w = 0; w < kWarps; ++w) total += sums[w][lane];
    *block = warp == 0 && column < t.columns ? y * t.columns + column : -1;
    return total;
}

// Return the norm of a block of weights, to the thread that gets its number, others -1, in *block.
__device__ inline double norm_of(const Lasso& t, long long tile, long long* block) {
    if (t.team == 1) return sqrt(squares_of_columns(t, tile, block));
    if (t.team == kThreads) {
        const double sum = sum_of_block(squares_of_block(t, tile, threadIdx.x, kThreads));
        *block = threadIdx.x == 0 ? tile : -1;
        return sqrt(sum);
    }
    const long long blocks = t.rows / t.ydimen * (t.columns / t.xdimen);
    const long long mine = tile * kWarps + threadIdx.x / kWarp;
    const int lane = threadIdx.x % kWarp;
    const double sum = warp_sum(mine < blocks ? squares_of_block(t, mine, lane, kWarp) : 0.0);
    *block = lane == 0 && mine < blocks ? mine : -1;
    return sqrt(sum);
}

// A block that is all zero stays there: its subgradient is taken as 0.
__device__ inline Real gradient_factor(double norm, double decay) {
    return norm > 0 ? Real(double(Real(decay)) / norm) : Real(0);
}

// For all lassos of a net: factors of the weights in the gradient, and norms. Block b of the grid
// works for the lasso owner[b].
extern "C" __global__ void __launch_bounds__(256)
    lasso_factors(const Lasso* lassos, const int* owner, const double* decays, Real* factors,
                  double* norms) {
    const int index = owner[blockIdx.x];
    const Lasso lasso = lassos[index];
    long long block;
    const double norm = norm_of(lasso, blockIdx.x - lasso.first_block, &block);
    if (block < 0) return;
    factors[lasso.offset + block] = gradient_factor(norm, decays[index]);
    norms[lasso.offset + block] = norm;
}

// The same for one lasso; with `shrinks`, factors of the proximal step by `strength`.
extern "C" __global__ void __launch_bounds__(256)
    block_factors(const Real* weights, int rows, int columns, int ydimen, int xdimen, int team,
                  double strength, int shrinks, Real* factors, double* norms) {
    const Lasso lasso = {weights, rows, columns, ydimen, xdimen, 0, 0, team};
    long long block;
    const double norm = norm_of(lasso, blockIdx.x, &block);
    if (block < 0) return;
    if (shrinks) {
        factors[block] = norm <= strength ? Real(0) : Real(1.0 - strength / norm);
    } else {
        factors[block] = gradient_factor(norm, strength);
    }
    norms[block] = norm;
}

__device__ inline int block_at(int i, int columns, int ydimen, int xdimen) {
    const int row = i / columns;
    return row / ydimen * (columns / xdimen) + (i - row * columns) / xdimen;
}

// diff += factor of the block * weights
extern "C" __global__ void add_by_block(int count, const Real* weights, const Real* factors,
                                        int columns, int ydimen, int xdimen, Real* diff) {
    FOR_EACH(i, count) diff[i] += factors[block_at(i, columns, ydimen, xdimen)] * weights[i];
}

// weights *= factor of the block; past += share * what that takes away. Adding 0 makes 0 of -0.
extern "C" __global__ void shrink_by_block(int count, const Real* factors, int columns, int ydimen,
                                           int xdimen, Real share, Real* weights, Real* past) {
    FOR_EACH(i, count) {
        const Real weight = weights[i];
        const Real shrunk = weight * factors[block_at(i, columns, ydimen, xdimen)] + Real(0);
        if (past) past[i] += share * (weight - shrunk);
        weights[i] = shrunk;
    }
}

// A row of a table in device memory, 8 bytes each field.
struct Piece {
    const Real* values;
    long long count, first_block;
};

__device__ inline double squares_of_chunk(const Real* x, long long begin, long long end) {
    double sum = 0;
#pragma unroll 4
    for (long long i = begin + threadIdx.x; i < end; i += kThreads) sum += squared(x[i]);
    return sum_of_block(sum);
}

// partial[b] = the sum of squares of a chunk of the array owner[b]
extern "C" __global__ void __launch_bounds__(256)
    squares_of_all(const Piece* pieces, const int* owner, int chunk, double* partial) {
    const Piece piece = pieces[owner[blockIdx.x]];
    const long long begin = (blockIdx.x - piece.first_block) * chunk;
    const long long end = begin + chunk < piece.count ? begin + chunk : piece.count;
    const double sum = squares_of_chunk(piece.values, begin, end);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

extern "C" __global__ void __launch_bounds__(256)
    squares_of(const Real* values, int count, int chunk, double* partial) {
    const long long begin = (long long)blockIdx.x * chunk;
    const long long end = begin + chunk < count ? begin + chunk : count;
    const double sum = squares_of_chunk(values, begin, end);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block: out = {the factor that makes the norm at most `limit`, the norm, the sum}.
extern "C" __global__ void __launch_bounds__(256)
    finish_squares(const double* partial, int count, double limit, double* out) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += kThreads) sum += partial[i];
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) {
        const double norm = sqrt(sum);
        out[0] = norm <= limit ? 1.0 : limit / norm;
        out[1] = norm;
        out[2] = sum;
    }
}
