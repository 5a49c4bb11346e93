#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace sscaffe {

// Threads that the kernels called from this thread may use; 1 or more.
int get_num_threads();
void set_num_threads(int threads);

// Items that make a part of parallel_for worth a thread, if one item costs about `work` simple
// operations on floats.  Starting and joining threads costs about 3 us.
inline int64_t grain_of(int64_t work) {
    constexpr int64_t kWorthAThread = 32768;
    return std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(1, work));
}

// Call fn(first, last) on parts of [begin, end) that together cover it, one part a thread.
//
// Each part has `grain` items or more; what is too small for two parts stays on the calling
// thread.  Which thread gets which items depends on the number of threads alone.  fn must not
// throw.
template <typename Function>
void parallel_for(int64_t begin, int64_t end, int64_t grain, const Function& fn) {
    const int64_t items = end - begin;
    const int64_t threads = std::min<int64_t>(get_num_threads(), items / grain);
    if (threads <= 1) {
        if (items > 0) fn(begin, end);
        return;
    }
#pragma omp parallel num_threads(static_cast<int>(threads))
    {
        // The runtime may give fewer threads than were asked for.
        const int64_t part = omp_get_thread_num(), parts = omp_get_num_threads();
        fn(begin + items * part / parts, begin + items * (part + 1) / parts);
    }
}

}  // namespace sscaffe
