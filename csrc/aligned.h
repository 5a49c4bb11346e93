#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace sscaffe {

// Memory aligned to a cache line and, from 2 MiB on, to huge pages, which it then asks for.
//
// Not initialised.  To be released with std::free.  Throws std::bad_alloc, which says how much was
// wanted.
void* aligned_allocate(size_t bytes);

// Let the system have the whole pages within [begin, end); what they held is lost.
void give_back_pages(const void* begin, const void* end);

struct Free {
    void operator()(void* pointer) const { std::free(pointer); }
};

// An array of numbers from aligned_allocate.
template <typename T>
using AlignedArray = std::unique_ptr<T[], Free>;

template <typename T>
AlignedArray<T> make_aligned(size_t count) {
    return AlignedArray<T>(static_cast<T*>(aligned_allocate(count * sizeof(T))));
}

// Floats that many take turns in.
class Scratch {
   public:
    // At least `count` floats, of any content.
    float* room(int64_t count);

   private:
    AlignedArray<float> data_;
    int64_t count_ = 0;
};

}  // namespace sscaffe
