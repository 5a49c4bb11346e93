#include "aligned.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <new>

namespace sscaffe {

namespace {

// Says how much was wanted; it needs no memory to do so.
class OutOfMemory : public std::bad_alloc {
   public:
    explicit OutOfMemory(size_t bytes) {
        std::snprintf(text_, sizeof text_, "%zu bytes cannot be allocated", bytes);
    }
    const char* what() const noexcept override { return text_; }

   private:
    char text_[64];
};

}  // namespace

void* aligned_allocate(size_t bytes) {
    constexpr size_t kCacheLine = 64, kHugePage = size_t{2} << 20;
    const size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
    const size_t rounded = (bytes / alignment + (bytes % alignment != 0)) * alignment;
    if (rounded < bytes) throw OutOfMemory(bytes);
    void* pointer = std::aligned_alloc(alignment, rounded ? rounded : alignment);
    if (!pointer) throw OutOfMemory(bytes);
    // Only advice: without huge pages the memory is as good, if slower to reach.
    if (alignment == kHugePage) madvise(pointer, rounded, MADV_HUGEPAGE);
    return pointer;
}

void give_back_pages(const void* begin, const void* end) {
    const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    const uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page;
    const uintptr_t last = reinterpret_cast<uintptr_t>(end) / page * page;
    // Only advice: where it is not taken, the pages stay until the array goes.
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

float* Scratch::room(int64_t count) {
    if (count > count_) {
        data_.reset();  // first, so that old and new never add up
        data_ = make_aligned<float>(count);
        count_ = count;
    }
    return data_.get();
}

}  // namespace sscaffe
