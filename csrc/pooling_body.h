#pragma once

// Included by vector_body.h: the loops of pooling.cpp, for one row of windows.
//
// Windows side by side are worked on together, in the lanes of a vector, one place of the window
// after the other in row-major order, so that of equal elements the first wins.

#include "simd.h"

namespace {

constexpr float kLowest = -__FLT_MAX__;

// An integer as wide as T.
template <typename T>
struct IndexOf {
    typedef int64_t type;
};

template <>
struct IndexOf<float> {
    typedef int32_t type;
};

// Lane i has source[i * kStride]; nothing beyond the last of them is read.
template <int kBytes, int kStride, typename T>
inline Vector<T, kBytes> load_strided(const T* source) {
    constexpr int kCount = kBytes / sizeof(T);
    static_assert(kStride == 1 || kStride == 2);
    const auto a = load<kBytes>(source);
    if constexpr (kStride == 1 || kCount == 1) {
        return a;
    } else {
        const auto b = load<kBytes>(source + kCount - 1);
        if constexpr (kCount == 2) {
            return __builtin_shufflevector(a, b, 0, 3);
        } else if constexpr (kCount == 4) {
            return __builtin_shufflevector(a, b, 0, 2, 5, 7);
        } else if constexpr (kCount == 8) {
            return __builtin_shufflevector(a, b, 0, 2, 4, 6, 9, 11, 13, 15);
        } else {
            static_assert(kCount == 16);
            return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 17, 19, 21, 23, 25, 27,
                                           29, 31);
        }
    }
}

// Some places of a row's windows: those from k = first to last - 1 of windows `output` and after
// it.
struct Windows {
    int64_t output, first, last;
};

// The largest element of as many windows as there are lanes, and its place in the plane.
template <typename T>
struct MaxPool {
    const T* plane;
    T* top;
    int32_t* mask;

    template <int kBytes, int kStride>
    void run(const sscaffe::PoolRow& r, const Windows& w) const {
        using Index = typename IndexOf<T>::type;
        constexpr int kCount = kBytes / sizeof(T);
        Vector<T, kBytes> largest = Vector<T, kBytes>{} + kLowest;
        Vector<Index, kBytes> where = Vector<Index, kBytes>{} - 1, lanes;
        for (int lane = 0; lane < kCount; ++lane) lanes[lane] = lane * kStride;
        for (int64_t y = r.first; y < r.last; ++y) {
            const int64_t row = y * r.width + w.output * r.stride - r.pad;
            for (int64_t at = row + w.first; at < row + w.last; ++at) {
                const auto value = load_strided<kBytes, kStride>(plane + at);
                const auto larger = value > largest;
                largest = larger ? value : largest;
                where = larger ? lanes + static_cast<Index>(at) : where;
            }
        }
        __builtin_memcpy(top + w.output, &largest, sizeof(largest));
        for (int lane = 0; lane < kCount; ++lane) {
            mask[w.output + lane] = static_cast<int32_t>(where[lane]);
        }
    }
};

// The sum of as many windows as there are lanes.
template <typename T>
struct SumPool {
    const T* plane;
    T* top;

    template <int kBytes, int kStride>
    void run(const sscaffe::PoolRow& r, const Windows& w) const {
        Vector<T, kBytes> sum = {};
        for (int64_t y = r.first; y < r.last; ++y) {
            const int64_t row = y * r.width + w.output * r.stride - r.pad;
            for (int64_t at = row + w.first; at < row + w.last; ++at) {
                sum += load_strided<kBytes, kStride>(plane + at);
            }
        }
        __builtin_memcpy(top + w.output, &sum, sizeof(sum));
    }
};

// Windows [first, last) one at a time: any stride, and cut at the sides of the image.
template <typename T, typename Pool>
void pool_singly(const sscaffe::PoolRow& r, int64_t first, int64_t last, const Pool& pool) {
    for (int64_t o = first; o < last; ++o) {
        const int64_t start = o * r.stride - r.pad, room = r.width - start;
        pool.template run<sizeof(T), 1>(
            r, {o, start < 0 ? -start : 0, room < r.kernel ? room : r.kernel});
    }
}

// Windows [first, last), all whole, in the widest vectors that they fill.
template <int kBytes, int kStride, typename T, typename Pool>
void pool_together(const sscaffe::PoolRow& r, int64_t first, int64_t last, const Pool& pool) {
    constexpr int64_t kCount = kBytes / sizeof(T);
    if (last - first >= kCount) {
        for (int64_t o = first; o < last; o += kCount) {
            // The last vector may begin among windows that are done already, and do them again.
            const int64_t begin = o + kCount <= last ? o : last - kCount;
            pool.template run<kBytes, kStride>(r, {begin, 0, r.kernel});
        }
    } else if constexpr (kBytes > 16) {
        pool_together<kBytes / 2, kStride, T>(r, first, last, pool);
    } else {
        pool_singly<T>(r, first, last, pool);
    }
}

template <typename T, typename Pool>
void pool_row(const sscaffe::PoolRow& r, const Pool& pool) {
    pool_singly<T>(r, 0, r.whole_first, pool);
    if (r.stride == 1) {
        pool_together<kVectorBytes, 1, T>(r, r.whole_first, r.whole_last, pool);
    } else if (r.stride == 2) {
        pool_together<kVectorBytes, 2, T>(r, r.whole_first, r.whole_last, pool);
    } else {
        pool_singly<T>(r, r.whole_first, r.whole_last, pool);
    }
    pool_singly<T>(r, r.whole_last, r.outputs, pool);
}

// See TypedKernels::max_pool_row.
template <typename T>
void max_pool_row(const sscaffe::PoolRow& r, const T* plane, T* top, int32_t* mask) {
    pool_row<T>(r, MaxPool<T>{plane, top, mask});
}

// See TypedKernels::sum_pool_row.
template <typename T>
void sum_pool_row(const sscaffe::PoolRow& r, const T* plane, T* top) {
    pool_row<T>(r, SumPool<T>{plane, top});
}

// Call fn(at, columns, o) for each window, with the offset of its first element in the plane, how
// many columns it has, and its number.
template <typename Function>
inline void for_each_window(const sscaffe::PoolRow& r, const Function& fn) {
    for (int64_t o = 0; o < r.outputs; ++o) {
        const int64_t start = o * r.stride - r.pad, stop = start + r.kernel;
        const int64_t first = start < 0 ? 0 : start, last = stop < r.width ? stop : r.width;
        fn(r.first * r.width + first, last - first, o);
    }
}

struct LargerOf {
    static constexpr float kStart = kLowest;
    static Vector<float> of(Vector<float> value, Vector<float> largest) {
        return value > largest ? value : largest;
    }
};

struct SumOf {
    static constexpr float kStart = 0;
    static Vector<float> of(Vector<float> value, Vector<float> sum) { return value + sum; }
};

// What `Reduce` makes of the same lanes of each element of a window of kColumns columns, or of
// `columns` for 0.
template <typename Reduce, int kColumns, typename Load>
inline Vector<float> reduce_window(const sscaffe::PoolRow& r, int64_t block, const float* first,
                                   int64_t columns, const Load& load_at) {
    Vector<float> result = broadcast(Reduce::kStart);
    for (int64_t y = r.first; y < r.last; ++y, first += r.width * block) {
        for (int64_t x = 0; x < (kColumns ? kColumns : columns); ++x) {
            result = Reduce::of(load_at(first + x * block), result);
        }
    }
    return result;
}

// One window of all channels, divided by its divisor, if there are any.
template <typename Reduce, int kColumns>
inline void pool_window(const sscaffe::PoolRow& r, int64_t block, const float* first,
                        int64_t columns, const float* divisor, float* top) {
    constexpr int64_t kWidth = kLanes<float>;
    const Vector<float> by = broadcast(divisor ? *divisor : 1.0f);
    int64_t c = 0;
    for (; c + kWidth <= block; c += kWidth) {
        const auto load_at = [](const float* source) { return load(source); };
        const auto result = reduce_window<Reduce, kColumns>(r, block, first + c, columns, load_at);
        store(divisor ? result / by : result, top + c);
    }
    if (c == block) return;
    const int64_t rest = block - c;
    const auto load_at = [=](const float* source) { return load_first(source, rest); };
    const auto result = reduce_window<Reduce, kColumns>(r, block, first + c, columns, load_at);
    store_first(divisor ? result / by : result, top + c, rest);
}

template <typename Reduce>
inline void pool_blocks(const sscaffe::PoolRow& r, int64_t block, const float* plane,
                        const float* divisors, float* top) {
    for_each_window(r, [=](int64_t at, int64_t columns, int64_t o) {
        const float *first = plane + at * block, *divisor = divisors ? divisors + o : nullptr;
        float* out = top + o * block;
        if (columns == 3) {
            pool_window<Reduce, 3>(r, block, first, columns, divisor, out);
        } else if (columns == 2) {
            pool_window<Reduce, 2>(r, block, first, columns, divisor, out);
        } else {
            pool_window<Reduce, 0>(r, block, first, columns, divisor, out);
        }
    });
}

// See BlockPoolKernels.
void max_of_blocks(const sscaffe::PoolRow& r, int64_t block, const float* plane, float* top) {
    pool_blocks<LargerOf>(r, block, plane, nullptr, top);
}

void average_of_blocks(const sscaffe::PoolRow& r, int64_t block, const float* plane,
                       const float* divisors, float* top) {
    pool_blocks<SumOf>(r, block, plane, divisors, top);
}

}  // namespace
