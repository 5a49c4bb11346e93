// Lowering of many images at once into one matrix, and its transpose.
//
// A lowered matrix has `total` columns, one for each output position of `count` images, image after
// image; its row is a place of the kernel in a channel. All axes are spelled out as depth, height
// and width; those that there are not have size 1.
#include "common.cuh"
#include "places.cuh"

struct Spot {
    int image, z, y, x;
};

// The window of an output position; `sizes` are those of the output, `strides` of the convolution.
static __device__ Spot spot_of(int position, int depth, int height, int width, int stride_z,
                               int stride_y, int stride_x) {
    Spot s;
    s.x = position % width * stride_x;
    position /= width;
    s.y = position % height * stride_y;
    position /= height;
    s.z = position % depth * stride_z;
    s.image = position / depth;
    return s;
}

#define ROWS_AT_ONCE 8

// columns[row][position] = image[channel][window], or 0 outside of it.
// Grid: (total / block, rows / ROWS_AT_ONCE, or fewer).
extern "C" __global__ void lower(const Real* __restrict__ images, const Place* __restrict__ places,
                                 Real* __restrict__ columns, int rows, int total, int image_size,
                                 int depth, int height, int width, int out_depth, int out_height,
                                 int out_width, int stride_z, int stride_y, int stride_x) {
    const int position = blockIdx.x * blockDim.x + threadIdx.x;
    if (position >= total) return;
    const Spot s =
        spot_of(position, out_depth, out_height, out_width, stride_z, stride_y, stride_x);
    const Real* window =
        images + (long long)s.image * image_size + (s.z * height + s.y) * width + s.x;
    const int step = gridDim.y * ROWS_AT_ONCE;
    for (int first = blockIdx.y * ROWS_AT_ONCE; first < rows; first += step) {
#pragma unroll
        for (int i = 0; i < ROWS_AT_ONCE; ++i) {
            const int row = first + i;
            if (row < rows) {
                const Place p = places[row];
                const bool inside = (unsigned)(s.z + p.z) < (unsigned)depth &&
                                    (unsigned)(s.y + p.y) < (unsigned)height &&
                                    (unsigned)(s.x + p.x) < (unsigned)width;
                columns[(long long)row * total + position] = inside ? window[p.offset] : Real(0);
            }
        }
    }
}

// The output position whose window has an element at kernel place k, or -1 if there is none.
static __device__ int reached_from(int at, int k, int dilation, int pad, int stride, int size) {
    const int start = at + pad - k * dilation;
    if (start < 0 || start % stride != 0) return -1;
    const int position = start / stride;
    return position < size ? position : -1;
}

// The transpose of `lower`: images[i] is the sum of what was made from it, in a fixed order.
extern "C" __global__ void raise(int count, const Real* __restrict__ columns,
                                 Real* __restrict__ images, int channels, int total, int depth,
                                 int height, int width, int out_depth, int out_height,
                                 int out_width, int kernel_z, int kernel_y, int kernel_x,
                                 int stride_z, int stride_y, int stride_x, int pad_z, int pad_y,
                                 int pad_x, int dilation_z, int dilation_y, int dilation_x) {
    const int out_size = out_depth * out_height * out_width;
    FOR_EACH(i, count) {
        const int x = i % width, y = i / width % height, z = i / (width * height) % depth;
        const int plane = i / (width * height * depth);
        const int image = plane / channels, channel = plane % channels;
        const Real* source = columns + (long long)image * out_size;
        Real sum = Real(0);
        for (int kz = 0; kz < kernel_z; ++kz) {
            const int oz = reached_from(z, kz, dilation_z, pad_z, stride_z, out_depth);
            if (oz < 0) continue;
            for (int ky = 0; ky < kernel_y; ++ky) {
                const int oy = reached_from(y, ky, dilation_y, pad_y, stride_y, out_height);
                if (oy < 0) continue;
                for (int kx = 0; kx < kernel_x; ++kx) {
                    const int ox = reached_from(x, kx, dilation_x, pad_x, stride_x, out_width);
                    if (ox < 0) continue;
                    const int row = ((channel * kernel_z + kz) * kernel_y + ky) * kernel_x + kx;
                    sum += source[(long long)row * total + (oz * out_height + oy) * out_width + ox];
                }
            }
        }
        images[i] = sum;
    }
}

// out[channel][image, s] = tops[image][channel][s].
extern "C" __global__ void gather_rows(int count, const Real* __restrict__ tops,
                                       Real* __restrict__ out, int channels, int size, int total) {
    FOR_EACH(i, count) {
        const int s = i % size, plane = i / size;
        const int channel = plane % channels, image = plane / channels;
        out[(long long)channel * total + image * size + s] = tops[i];
    }
}
