// The update of all parameters of a net in one launch. Every operation is rounded alone, in the
// order of csrc/update.h: no product is fused with a sum.
#include "common.cuh"
#include "tables.cuh"

// A row of a table in device memory, 8 bytes each field.
struct Job {
    Real* weights;
    Real* diff;
    Real* first;                // history
    Real* second;               // null but for Adam
    const unsigned char* mask;  // or null
    long long count, columns, rule, first_lasso, lassos, first_block;
};

enum Rule { kSgd, kNesterov, kAdam };

constexpr int kConstants = 11;  // of a job: UpdateStep without its rule
constexpr int kBatch = 4;       // elements that a thread loads before it goes on

__device__ inline float mul(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float add(float a, float b) { return __fadd_rn(a, b); }
__device__ inline double mul(double a, double b) { return __dmul_rn(a, b); }
__device__ inline double add(double a, double b) { return __dadd_rn(a, b); }

struct Step {
    Real rate, momentum, momentum2, gain, gain2, delta, clip, mean, l2, l1, limit, ahead;
};

__device__ inline Step read_step(const double* c, const double* clip) {
    Step s = {Real(c[0]), Real(c[1]), Real(c[2]), Real(c[3]), Real(c[4]),  Real(c[5]),
              Real(c[6]), Real(c[7]), Real(c[8]), Real(c[9]), Real(c[10]), Real(0)};
    if (clip) s.clip = Real(*clip);
    s.ahead = Real(1.0 + double(s.momentum));
    return s;
}

__device__ inline Real gradient(const Step& s, Real weight, Real diff) {
    if (s.clip != Real(1)) diff = mul(diff, s.clip);
    if (s.mean != Real(1)) diff = mul(diff, s.mean);
    if (s.l2 != Real(0)) diff = add(diff, mul(s.l2, weight));
    if (s.l1 != Real(0)) {
        diff = add(diff, weight > Real(0) ? s.l1 : (weight < Real(0) ? -s.l1 : Real(0)));
    }
    return diff;
}

// Add the gradients of group lassos at element i of the row-major matrix.
__device__ inline Real add_lassos(const Job& job, const Lasso* lassos, const Real* factors,
                                  int i, Real weight, Real diff) {
    const int columns = int(job.columns), row = i / columns, column = i - row * columns;
    for (int l = 0; l < int(job.lassos); ++l) {
        const Lasso& lasso = lassos[job.first_lasso + l];
        const int xdimen = int(lasso.xdimen), across = columns / xdimen;
        const long long block = (long long)(row / int(lasso.ydimen)) * across + column / xdimen;
        diff = add(diff, mul(factors[lasso.offset + block], weight));
    }
    return diff;
}

template <int kRule>
__device__ inline Real take_step(const Step& s, Real diff, Real& first, Real& second) {
    if (kRule == kSgd) {
        first = add(mul(s.momentum, first), mul(s.rate, diff));
        return first;
    }
    if (kRule == kNesterov) {
        const Real before = mul(s.momentum, first);
        first = add(mul(s.rate, diff), before);
        return add(mul(s.ahead, first), -before);
    }
    second = add(mul(s.momentum2, second), mul(s.gain2, mul(diff, diff)));
    first = add(mul(s.momentum, first), mul(s.gain, diff));
    return mul(first / add(sqrt(second), s.delta), s.rate);
}

template <int kRule>
__device__ inline void update_chunk(const Job& job, const Step& s, const Lasso* lassos,
                                    const Real* factors, int begin, int end) {
    for (int at = begin + threadIdx.x; unsigned(at) < unsigned(end); at += kBatch * blockDim.x) {
        Real weight[kBatch], diff[kBatch], first[kBatch], second[kBatch], mask[kBatch];
#pragma unroll
        for (int u = 0; u < kBatch; ++u) {
            const int i = at + u * blockDim.x;
            weight[u] = diff[u] = first[u] = second[u] = Real(0);
            mask[u] = Real(1);
            if (unsigned(i) >= unsigned(end)) continue;  // near 2^31 i is negative
            weight[u] = job.weights[i];
            diff[u] = job.diff[i];
            first[u] = job.first[i];
            if (kRule == kAdam) second[u] = job.second[i];
            if (job.mask) mask[u] = Real(job.mask[i]);
        }
#pragma unroll
        for (int u = 0; u < kBatch; ++u) {
            const int i = at + u * blockDim.x;
            if (unsigned(i) >= unsigned(end)) continue;  // near 2^31 i is negative
            Real g = gradient(s, weight[u], diff[u]);
            if (job.lassos) g = add_lassos(job, lassos, factors, i, weight[u], g);
            const Real step = mul(take_step<kRule>(s, g, first[u], second[u]), mask[u]);
            const Real stepped = add(weight[u], -step);
            job.diff[i] = step;
            job.weights[i] = fabs(stepped) < s.limit ? Real(0) : stepped;
            job.first[i] = first[u];
            if (kRule == kAdam) job.second[i] = second[u];
        }
    }
}

// Block b of the grid takes a chunk of elements of the job owner[b].
//
//   constants  [jobs][kConstants]
//   factors    of all lassos, those of one from its offset
//   clip       a factor for all gradients, or null
extern "C" __global__ void __launch_bounds__(256)
    update(const Job* jobs, const int* owner, const double* constants, const Lasso* lassos,
           const Real* factors, const double* clip, int chunk) {
    const int index = owner[blockIdx.x];
    const Job job = jobs[index];
    const Step s = read_step(constants + (long long)index * kConstants, clip);
    const long long begin = (blockIdx.x - job.first_block) * chunk;
    const long long end = begin + chunk < job.count ? begin + chunk : job.count;
    if (job.rule == kSgd) {
        update_chunk<kSgd>(job, s, lassos, factors, int(begin), int(end));
    } else if (job.rule == kNesterov) {
        update_chunk<kNesterov>(job, s, lassos, factors, int(begin), int(end));
    } else {
        update_chunk<kAdam>(job, s, lassos, factors, int(begin), int(end));
    }
}
