#include "aligned.h"

#include <sys/mman.h>

#include <new>

namespace sscaffe {

void* aligned_allocate(size_t bytes) {
    constexpr size_t kCacheLine = 64, kHugePage = size_t{2} << 20;
    const size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
    const size_t rounded = (bytes / alignment + (bytes % alignment != 0)) * alignment;
    if (rounded < bytes) throw std::bad_alloc();
    void* pointer = std::aligned_alloc(alignment, rounded ? rounded : alignment);
    if (!pointer) throw std::bad_alloc();
    // Only advice: without huge pages the memory is as good, if slower to reach.
    if (alignment == kHugePage) madvise(pointer, rounded, MADV_HUGEPAGE);
    return pointer;
}

}  // namespace sscaffe
