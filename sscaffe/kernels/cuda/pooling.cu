// The largest, or the mean, of windows of planes; windows may overlap and reach past the image.
//
// Backward, a thread has one element of the bottom and goes over the windows that hold it, so that
// sums are made in one order.
#include "common.cuh"

#define SIZES                                                                      \
    int in_height, int in_width, int out_height, int out_width, int kernel_height, \
        int kernel_width, int stride_height, int stride_width, int pad_height, int pad_width

// The least of floats, for doubles too, as Caffe has it.
#define LOWEST Real(-3.402823466e+38f)

// An output's plane and the first element of its window, which may lie before the image.
struct Window {
    int plane, top, left;
};

__device__ Window window_of(int output, int out_height, int out_width, int stride_height,
                            int stride_width, int pad_height, int pad_width) {
    const int row = output / out_width, column = output - row * out_width;
    const int plane = row / out_height;
    return {plane, (row - plane * out_height) * stride_height - pad_height,
            column * stride_width - pad_width};
}

// Call fn(value, place in the window) for the elements that lie in the image, row by row; kKernel
// is the size of the window on both axes, or 0 where the compiler does not know it.
template <int kKernel, typename Function>
__device__ void for_each_value(const Real* plane, const Window& w, int in_height, int in_width,
                               int kernel_height, int kernel_width, const Function& fn) {
    if (kKernel > 0) {
        Real values[kKernel * kKernel + 1];
        bool inside[kKernel * kKernel + 1];
        // All loads before the first value is needed.
#pragma unroll
        for (int place = 0; place < kKernel * kKernel; ++place) {
            const int y = w.top + place / (kKernel + !kKernel),
                      x = w.left + place % (kKernel + !kKernel);
            inside[place] = y >= 0 && y < in_height && x >= 0 && x < in_width;
            values[place] = inside[place] ? plane[y * in_width + x] : Real(0);
        }
#pragma unroll
        for (int place = 0; place < kKernel * kKernel; ++place) {
            if (inside[place]) fn(values[place], place);
        }
        return;
    }
    const int last_row = min(w.top + kernel_height, in_height);
    const int last_column = min(w.left + kernel_width, in_width);
    for (int y = max(w.top, 0); y < last_row; ++y) {
        for (int x = max(w.left, 0); x < last_column; ++x) {
            fn(plane[y * in_width + x], (y - w.top) * kernel_width + x - w.left);
        }
    }
}

template <int kKernel, typename Index>
__device__ void take_largest(const Real* plane, const Window& w, int in_height, int in_width,
                             int kernel_height, int kernel_width, Real* y, Index* winner) {
    Real largest = LOWEST;
    int where = -1;
    for_each_value<kKernel>(plane, w, in_height, in_width, kernel_height, kernel_width,
                            [&](Real value, int place) {
                                if (value > largest) {
                                    largest = value;
                                    where = place;
                                }
                            });
    *y = largest;
    *winner = static_cast<Index>(where);
}

template <typename Index>
__device__ void max_forward(int count, const Real* x, Real* y, Index* winner, SIZES) {
    const int kernel = kernel_height == kernel_width ? kernel_height : 0;
    FOR_EACH(i, count) {
        const Window w =
            window_of(i, out_height, out_width, stride_height, stride_width, pad_height, pad_width);
        const Real* plane = x + w.plane * (in_height * in_width);
        if (kernel == 3) {
            take_largest<3>(plane, w, in_height, in_width, 3, 3, y + i, winner + i);
        } else if (kernel == 2) {
            take_largest<2>(plane, w, in_height, in_width, 2, 2, y + i, winner + i);
        } else {
            take_largest<0>(plane, w, in_height, in_width, kernel_height, kernel_width, y + i,
                            winner + i);
        }
    }
}

// Call fn(output of the plane, place in its window) for the windows that hold an element.
template <typename Function>
__device__ void for_each_window(int row, int column, SIZES, const Function& fn) {
    const int y = row + pad_height, x = column + pad_width;
    const int first_row = y < kernel_height ? 0 : (y - kernel_height) / stride_height + 1;
    const int first_column = x < kernel_width ? 0 : (x - kernel_width) / stride_width + 1;
    const int last_row = min(y / stride_height + 1, out_height);
    const int last_column = min(x / stride_width + 1, out_width);
    for (int r = first_row; r < last_row; ++r) {
        for (int c = first_column; c < last_column; ++c) {
            const int place = (y - r * stride_height) * kernel_width + x - c * stride_width;
            fn(r, c, place);
        }
    }
}

template <typename Index>
__device__ void max_backward(int count, const Real* dy, const Index* winner, Real* dx, SIZES) {
    FOR_EACH(i, count) {
        const int row = i / in_width, plane = row / in_height;
        const int outputs = plane * (out_height * out_width);
        Real sum = 0;
        for_each_window(row - plane * in_height, i - row * in_width, in_height, in_width,
                        out_height, out_width, kernel_height, kernel_width, stride_height,
                        stride_width, pad_height, pad_width, [&](int r, int c, int place) {
                            const int at = outputs + r * out_width + c;
                            if (winner[at] == static_cast<Index>(place)) sum += dy[at];
                        });
        dx[i] = sum;
    }
}

#define PASSED                                                                              \
    in_height, in_width, out_height, out_width, kernel_height, kernel_width, stride_height, \
        stride_width, pad_height, pad_width

// The winner is remembered by its place in the window, -1 for none, in a byte where that will do.
extern "C" __global__ void max_forward_byte(int count, const Real* x, Real* y,
                                            unsigned char* winner, SIZES) {
    max_forward(count, x, y, winner, PASSED);
}

extern "C" __global__ void max_forward_int(int count, const Real* x, Real* y, int* winner, SIZES) {
    max_forward(count, x, y, winner, PASSED);
}

extern "C" __global__ void max_backward_byte(int count, const Real* dy, const unsigned char* winner,
                                             Real* dx, SIZES) {
    max_backward(count, dy, winner, dx, PASSED);
}

extern "C" __global__ void max_backward_int(int count, const Real* dy, const int* winner, Real* dx,
                                            SIZES) {
    max_backward(count, dy, winner, dx, PASSED);
}

// What the average divides by on one axis: the padding counts, but nothing beyond it.
__device__ int counted(int start, int kernel, int size, int pad) {
    return min(start + kernel, size + pad) - start;
}

extern "C" __global__ void ave_forward(int count, const Real* x, Real* y, SIZES) {
    FOR_EACH(i, count) {
        const Window w =
            window_of(i, out_height, out_width, stride_height, stride_width, pad_height, pad_width);
        const Real* plane = x + w.plane * (in_height * in_width);
        Real sum = 0;
        const auto add = [&](Real value, int) { sum += value; };
        if (kernel_height == 3 && kernel_width == 3) {
            for_each_value<3>(plane, w, in_height, in_width, 3, 3, add);
        } else {
            for_each_value<0>(plane, w, in_height, in_width, kernel_height, kernel_width, add);
        }
        const bool is_empty = w.top >= in_height || w.left >= in_width;
        y[i] = is_empty ? Real(0)
                        : sum / Real(counted(w.top, kernel_height, in_height, pad_height) *
                                     counted(w.left, kernel_width, in_width, pad_width));
    }
}

extern "C" __global__ void ave_backward(int count, const Real* dy, Real* dx, SIZES) {
    FOR_EACH(i, count) {
        const int row = i / in_width, plane = row / in_height;
        const Real* diffs = dy + plane * (out_height * out_width);
        Real sum = 0;
        for_each_window(
            row - plane * in_height, i - row * in_width, PASSED, [&](int r, int c, int) {
                const int height =
                    counted(r * stride_height - pad_height, kernel_height, in_height, pad_height);
                const int width =
                    counted(c * stride_width - pad_width, kernel_width, in_width, pad_width);
                sum += diffs[r * out_width + c] / Real(height * width);
            });
        dx[i] = sum;
    }
}

// The mean of whole planes, a warp for each: windows as large as the image. Blocks of 256.
extern "C" __global__ void mean_of_planes(int planes, int size, const Real* x, Real* y) {
    const int lane = threadIdx.x % 32, plane = blockIdx.x * 8 + threadIdx.x / 32;
    Real sum = 0;
    if (plane < planes) {
        for (int i = lane; i < size; i += 32) sum += x[plane * size + i];
    }
    for (int half = 16; half > 0; half /= 2) sum += __shfl_down_sync(0xffffffffu, sum, half);
    if (plane < planes && lane == 0) y[plane] = sum / Real(size);
}
