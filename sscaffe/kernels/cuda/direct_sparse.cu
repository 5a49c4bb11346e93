// Convolution by weights that have zeros anywhere, from the images themselves.
#include "common.cuh"
#include "places.cuh"

#define CHANNELS 8    // of a block, which read the same windows one after the other
#define WEIGHTS 128   // that a block takes into shared memory at a time: one a thread
#define POSITIONS 4   // of a thread, which share what is read of a weight

// tops[image][channel] = the sum over the channel's weights of weight * window, + bias, rectified.
// Grid: (positions of all images / (128 * POSITIONS), channels / CHANNELS), 128 threads.
// row_ptr, places and values are the weight matrix in CSR form.
extern "C" __global__ void __launch_bounds__(128)
    direct_sparse(const Real* __restrict__ images, const int* __restrict__ row_ptr,
                  const Place* __restrict__ places, const Real* __restrict__ values,
                  const Real* __restrict__ bias, Real* __restrict__ tops, int relu, int total,
                  int image_size, int height, int width, int out_height, int out_width,
                  int stride_y, int stride_x, int channels) {
    __shared__ Place some[WEIGHTS];
    __shared__ Real factors[WEIGHTS];
    const int out_size = out_height * out_width;
    const Real* window[POSITIONS];
    Real* top[POSITIONS];
    int y[POSITIONS], x[POSITIONS];
#pragma unroll
    for (int j = 0; j < POSITIONS; ++j) {
        const int position = (blockIdx.x * POSITIONS + j) * blockDim.x + threadIdx.x;
        const bool valid = unsigned(position) < unsigned(total);
        const int image = valid ? position / out_size : 0;
        const int s = valid ? position - image * out_size : 0;
        const int inside = s / out_width * stride_y;
        x[j] = s % out_width * stride_x;
        y[j] = valid ? inside : 1 << 29;  // outside of every image
        window[j] = images + (long long)image * image_size + inside * width + x[j];
        top[j] = valid ? tops + (long long)image * channels * out_size + s : nullptr;
    }
    for (int c = 0; c < CHANNELS; ++c) {
        const int channel = blockIdx.y * CHANNELS + c;
        if (channel >= channels) break;  // all threads of the block alike
        Real sums[POSITIONS];
#pragma unroll
        for (int j = 0; j < POSITIONS; ++j) sums[j] = bias ? bias[channel] : Real(0);
        const int end = row_ptr[channel + 1];
        for (int first = row_ptr[channel]; first < end; first += WEIGHTS) {
            const int count = end - first < WEIGHTS ? end - first : WEIGHTS;
            __syncthreads();
            if ((int)threadIdx.x < count) {
                some[threadIdx.x] = places[first + threadIdx.x];
                factors[threadIdx.x] = values[first + threadIdx.x];
            }
            __syncthreads();
#pragma unroll 2
            for (int i = 0; i < count; ++i) {
                const Place p = some[i];
                const Real factor = factors[i];
#pragma unroll
                for (int j = 0; j < POSITIONS; ++j) {
                    const bool inside = (unsigned)(y[j] + p.y) < (unsigned)height &&
                                        (unsigned)(x[j] + p.x) < (unsigned)width;
                    sums[j] += factor * (inside ? window[j][p.offset] : Real(0));
                }
            }
        }
#pragma unroll
        for (int j = 0; j < POSITIONS; ++j) {
            if (top[j]) {
                const Real sum = relu && sums[j] < Real(0) ? Real(0) : sums[j];
                top[j][(long long)channel * out_size] = sum;
            }
        }
    }
}

// out[n] = W @ x[n] + bias for W in CSR form; x has `rows` rows of `size` columns.
// Grid: (columns of all n / 128, rows of W, or fewer).
extern "C" __global__ void multiply(const int* __restrict__ row_ptr,
                                    const int* __restrict__ indices,
                                    const Real* __restrict__ values, const Real* __restrict__ x,
                                    const Real* __restrict__ bias, Real* __restrict__ out,
                                    int total, int inputs, int outputs, int size, int relu) {
    const int position = blockIdx.x * blockDim.x + threadIdx.x;
    if (position >= total) return;
    const int image = position / size, s = position % size;
    const Real* source = x + (long long)image * inputs * size + s;
    for (int row = blockIdx.y; row < outputs; row += gridDim.y) {
        Real sum = bias ? bias[row] : Real(0);
        for (int i = row_ptr[row]; i < row_ptr[row + 1]; ++i) {
            sum += values[i] * source[(long long)indices[i] * size];
        }
        out[((long long)image * outputs + row) * size + s] = relu && sum < Real(0) ? Real(0) : sum;
    }
}

// out = x @ W^T + bias for vectors x[n]: a warp for each element of out, in a fixed order.
// Grid: (rows of W / 4, n, or fewer), 128 threads.
extern "C" __global__ void multiply_vectors(const int* __restrict__ row_ptr,
                                            const int* __restrict__ indices,
                                            const Real* __restrict__ values,
                                            const Real* __restrict__ x,
                                            const Real* __restrict__ bias, Real* __restrict__ out,
                                            int count, int inputs, int outputs, int relu) {
    const int lane = threadIdx.x % 32, row = blockIdx.x * 4 + threadIdx.x / 32;
    for (int n = blockIdx.y; n < count; n += gridDim.y) {
        const Real* source = x + (long long)n * inputs;
        Real sum = Real(0);
        if (row < outputs) {
            for (int i = row_ptr[row] + lane; i < row_ptr[row + 1]; i += 32) {
                sum += values[i] * source[indices[i]];
            }
        }
        for (int half = 16; half > 0; half /= 2) sum += __shfl_down_sync(0xffffffffu, sum, half);
        if (lane == 0 && row < outputs) {
            if (bias) sum += bias[row];
            out[(long long)n * outputs + row] = relu && sum < Real(0) ? Real(0) : sum;
        }
    }
}
