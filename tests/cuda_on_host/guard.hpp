// Arrays of a kernel are copied between pages that nobody may touch: who leaves an array is found.
//
// One launch finds what lies behind an array, the next one what lies before it; writes to the rest
// of the page are found by its content.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <vector>

namespace shim {

struct Argument {
    char** pointer;  // the cell that holds the address; null if it is no array
    size_t bytes;
    size_t alignment;
    bool is_const;
};

// Arguments that overlap share a piece.
struct Piece {
    char* original;
    size_t bytes, alignment;
    std::vector<int> arguments;
    char* mapped = nullptr;
    size_t mapped_bytes = 0;
    char* copy = nullptr;
    bool is_const = true;
};

class Guard {
   public:
    explicit Guard(std::vector<Argument> arguments) : arguments_(std::move(arguments)) {
        static bool at_start = false;
        at_start = !at_start;
        for (size_t i = 0; i < arguments_.size(); ++i) {
            if (arguments_[i].pointer && *arguments_[i].pointer) add(int(i));
        }
        for (Piece& piece : pieces_) map(piece, at_start);
    }

    ~Guard() {
        for (Piece& piece : pieces_) munmap(piece.mapped, piece.mapped_bytes);
    }

    // Copy back what the kernel wrote; false and a message if it wrote elsewhere.
    bool finish(char* message, size_t size) {
        for (Piece& piece : pieces_) {
            char* const end = piece.mapped + piece.mapped_bytes - kForbidden;
            for (char* byte = piece.mapped + kForbidden; byte < end; ++byte) {
                if (byte == piece.copy && piece.bytes) byte += piece.bytes;
                if (byte == end) break;
                if (*byte == char(0xff)) continue;
                describe(byte, "writes", message, size);
                return false;
            }
        }
        for (Piece& piece : pieces_) {
            if (!piece.is_const) std::memcpy(piece.original, piece.copy, piece.bytes);
        }
        return true;
    }

    // Say which array an address is the nearest to.
    void describe(const char* address, const char* does, char* message, size_t size) const {
        const Piece* nearest = nullptr;
        long distance = 0;
        for (const Piece& piece : pieces_) {
            const long before = piece.copy - address, after = address - (piece.copy + piece.bytes);
            const long away = before > 0 ? before : after + 1;
            if (!nearest || away < distance) nearest = &piece, distance = away;
        }
        if (!nearest) {
            snprintf(message, size, "the kernel %s at %p, where no array is", does, address);
            return;
        }
        const bool before = address < nearest->copy;
        snprintf(message, size, "the kernel %s outside of an array: %ld bytes %s #%d, of %zu bytes",
                 does, before ? distance : distance - 1, before ? "before" : "behind the end of",
                 nearest->arguments[0], nearest->bytes);
    }

   private:
    static constexpr size_t kPage = 4096;
    static constexpr size_t kForbidden = 256 << 20;  // addresses before and behind, no memory

    void add(int index) {
        const Argument& argument = arguments_[index];
        Piece merged{*argument.pointer, argument.bytes, argument.alignment, {index}};
        merged.is_const = argument.is_const;
        for (size_t i = 0; i < pieces_.size();) {
            Piece& other = pieces_[i];
            const bool apart = other.original + other.bytes <= merged.original ||
                               merged.original + merged.bytes <= other.original;
            if (apart) {
                ++i;
                continue;
            }
            char* const end =
                std::max(other.original + other.bytes, merged.original + merged.bytes);
            merged.original = std::min(other.original, merged.original);
            merged.bytes = end - merged.original;
            merged.alignment = std::max(merged.alignment, other.alignment);
            merged.is_const = merged.is_const && other.is_const;
            merged.arguments.insert(merged.arguments.end(), other.arguments.begin(),
                                    other.arguments.end());
            pieces_.erase(pieces_.begin() + i);
            i = 0;
        }
        pieces_.push_back(merged);
    }

    void map(Piece& piece, bool at_start) {
        const size_t room = (piece.bytes + 16 + kPage - 1) / kPage * kPage;
        piece.mapped_bytes = room + 2 * kForbidden;
        piece.mapped = static_cast<char*>(mmap(nullptr, piece.mapped_bytes, PROT_NONE,
                                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        char* const start = piece.mapped + kForbidden;
        mprotect(start, room, PROT_READ | PROT_WRITE);
        const size_t last = (room - piece.bytes) / piece.alignment * piece.alignment;
        piece.copy = at_start ? start : start + last;
        std::memset(start, 0xff, piece.copy - start);
        std::memcpy(piece.copy, piece.original, piece.bytes);
        std::memset(piece.copy + piece.bytes, 0xff, start + room - piece.copy - piece.bytes);
        for (int index : piece.arguments) {
            char** pointer = arguments_[index].pointer;
            *pointer = piece.copy + (*pointer - piece.original);
        }
    }

    std::vector<Argument> arguments_;
    std::vector<Piece> pieces_;
};

static sigjmp_buf after_fault;
static const char* volatile fault_address;

static void on_fault(int, siginfo_t* info, void*) {
    fault_address = static_cast<const char*>(info->si_addr);
    siglongjmp(after_fault, 1);
}

// Takes faults of memory as long as it lives.
class FaultHandler {
   public:
    FaultHandler() : stack_(64 << 10) {
        stack_t stack = {};
        stack.ss_sp = stack_.data();
        stack.ss_size = stack_.size();
        sigaltstack(&stack, &stack_before_);
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, &segv_before_);
        sigaction(SIGBUS, &action, &bus_before_);
    }
    ~FaultHandler() {
        sigaction(SIGSEGV, &segv_before_, nullptr);
        sigaction(SIGBUS, &bus_before_, nullptr);
        sigaltstack(&stack_before_, nullptr);
    }

   private:
    std::vector<char> stack_;
    stack_t stack_before_ = {};
    struct sigaction segv_before_ = {}, bus_before_ = {};
};

}  // namespace shim
