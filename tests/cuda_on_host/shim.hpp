// Enough of CUDA's device language to run kernels on the host, for tests.
//
// The threads of a block are fibers of one host thread: each runs until a barrier or a warp
// operation, and goes on when all who must take part are there.  Who waits for a thread that
// never comes is reported; a GPU would hang.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "guard.hpp"
#include "shim_math.hpp"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static
#define __forceinline__ inline
#define __noinline__
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;
static const int warpSize = 32;

namespace shim {

constexpr int kWarp = 32;
constexpr size_t kStack = 64 << 10;
constexpr size_t kShared = 227 << 10;
constexpr size_t kGuard = 1024;
constexpr unsigned char kPoison = 0xff;  // NaN as float and double, -1 as int
static size_t block_number = 0;
alignas(128) static unsigned char dynamic_shared[kShared + kGuard];

enum State { kReady, kBarrier, kWarpWait, kDone };
enum Operation { kSync, kShuffle, kBallot };

struct Fiber {
    ucontext_t start;
    jmp_buf resume;
    std::unique_ptr<char[]> stack;
    bool started = false;
    State state = kDone;
    Operation operation = kSync;
    unsigned mask = 0;
    int source = 0;       // lane to read from
    uint64_t value = 0;   // given
    uint64_t result = 0;  // taken
};

static std::vector<Fiber> fibers;
static int running, threads;
static jmp_buf scheduler;
static ucontext_t scheduler_start;
static void (*body)(void**);
static void** arguments;

__attribute__((noinline)) static void yield_as(State state) {
    fibers[running].state = state;
    if (!_setjmp(fibers[running].resume)) _longjmp(scheduler, 1);
}

static void fiber_main() {
    for (;;) {
        body(arguments);
        yield_as(kDone);
    }
}

static void set_thread(unsigned t) {
    threadIdx.x = t % blockDim.x;
    threadIdx.y = t / blockDim.x % blockDim.y;
    threadIdx.z = t / (blockDim.x * blockDim.y);
}

__attribute__((noinline)) static void resume(int t) {
    Fiber& fiber = fibers[t];
    running = t;
    set_thread(t);
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.resume, 1);
    fiber.started = true;
    if (!fiber.stack) fiber.stack.reset(new char[kStack]);
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = kStack;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, fiber_main, 0);
    setcontext(&fiber.start);
}

// Let a warp's operation happen if all lanes of the mask that exist are there.
static bool release_warp(int t) {
    const int first = t / kWarp * kWarp, lanes = std::min(kWarp, threads - first);
    const unsigned mask = fibers[t].mask;
    unsigned ballot = 0;
    for (int lane = 0; lane < lanes; ++lane) {
        const Fiber& other = fibers[first + lane];
        if (!(mask >> lane & 1)) continue;
        if (other.state != kWarpWait || other.mask != mask) return false;
        if (other.operation != fibers[t].operation) return false;
        if (other.value) ballot |= 1u << lane;
    }
    for (int lane = 0; lane < lanes; ++lane) {
        Fiber& taker = fibers[first + lane];
        if (!(mask >> lane & 1)) continue;
        const int source = taker.source;
        const bool there = source < lanes && (mask >> source & 1);
        taker.result = taker.operation == kBallot ? ballot : ~uint64_t(0);
        if (taker.operation == kShuffle && there) taker.result = fibers[first + source].value;
        taker.state = kReady;
    }
    return true;
}

// The first thread of a block that comes to a __shared__ variable finds it of no use.
template <typename T>
void poison_shared(T& variable, size_t& poisoned_for) {
    if (poisoned_for == block_number) return;
    poisoned_for = block_number;
    std::memset(static_cast<void*>(&variable), kPoison, sizeof(T));
}

static bool release() {
    bool released = false, all = true;
    for (int t = 0; t < threads; ++t) {
        if (fibers[t].state == kWarpWait) released |= release_warp(t);
        all &= fibers[t].state == kBarrier;
    }
    if (all) {
        for (int t = 0; t < threads; ++t) fibers[t].state = kReady;
    }
    return released || all;
}

static void describe_deadlock(char* message, size_t size) {
    int count[4] = {0, 0, 0, 0}, first[4] = {-1, -1, -1, -1};
    for (int t = threads - 1; t >= 0; --t) {
        ++count[fibers[t].state];
        first[fibers[t].state] = t;
    }
    snprintf(message, size,
             "deadlock in block (%u, %u, %u): %d threads wait at __syncthreads (the first is %d), "
             "%d at a warp operation (%d), %d have returned (%d)",
             blockIdx.x, blockIdx.y, blockIdx.z, count[kBarrier], first[kBarrier], count[kWarpWait],
             first[kWarpWait], count[kDone], first[kDone]);
}

// Threads take turns in ascending order, then, after a barrier, in descending order: where a
// barrier is missing, one of both finds another value.
static bool run_fibers(char* message, size_t size) {
    static unsigned phase = 0;
    for (int t = 0; t < threads; ++t) fibers[t].state = kReady;
    for (;; ++phase) {
        for (int i = 0; i < threads; ++i) {
            const int t = phase & 1 ? threads - 1 - i : i;
            if (fibers[t].state == kReady) resume(t);
        }
        const auto done = [](const Fiber& fiber) { return fiber.state == kDone; };
        if (std::all_of(fibers.begin(), fibers.begin() + threads, done)) return true;
        if (release()) continue;
        describe_deadlock(message, size);
        for (Fiber& fiber : fibers) fiber.started = false;
        return false;
    }
}

static bool run_block(bool barriers, unsigned shared, char* message, size_t size) {
    std::memset(dynamic_shared, kPoison, shared + kGuard);
    if (barriers) {
        if (!run_fibers(message, size)) return false;
    } else {
        for (int i = 0; i < threads; ++i) {
            set_thread(block_number & 1 ? threads - 1 - i : i);
            body(arguments);
        }
    }
    for (size_t i = shared; i < shared + kGuard; ++i) {
        if (dynamic_shared[i] == kPoison) continue;
        snprintf(message, size, "a write beyond the %u bytes of dynamic shared memory", shared);
        return false;
    }
    return true;
}

// Every other launch takes the blocks from the last to the first: a GPU takes them in any order.
static bool run_blocks(const unsigned* grid, bool barriers, unsigned shared, char* message,
                       size_t size) {
    static bool backwards = true;
    backwards = !backwards;
    const size_t count = size_t(grid[0]) * grid[1] * grid[2];
    for (size_t i = 0; i < count; ++i) {
        const size_t index = backwards ? count - 1 - i : i;
        blockIdx.x = unsigned(index % grid[0]);
        blockIdx.y = unsigned(index / grid[0] % grid[1]);
        blockIdx.z = unsigned(index / grid[0] / grid[1]);
        ++block_number;
        if (!run_block(barriers, shared, message, size)) return false;
    }
    return true;
}

// Run a kernel; false and a message if it cannot go on.
static bool run(const unsigned* grid, const unsigned* block, unsigned shared, bool barriers,
                void (*kernel)(void**), void** args, std::vector<Argument> arrays, char* message,
                size_t size) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    threads = block[0] * block[1] * block[2];
    body = kernel;
    arguments = args;
    if (barriers && fibers.size() < size_t(threads)) fibers = std::vector<Fiber>(threads);
    Guard guard(std::move(arrays));
    FaultHandler handler;
    if (sigsetjmp(after_fault, 1)) {
        guard.describe(fault_address, "reads or writes", message, size);
        for (Fiber& fiber : fibers) fiber.started = false;
        return false;
    }
    return run_blocks(grid, barriers, shared, message, size) && guard.finish(message, size);
}

__attribute__((noinline)) static uint64_t warp_operation(Operation operation, unsigned mask,
                                                         uint64_t value, int source) {
    Fiber& fiber = fibers[running];
    fiber.operation = operation;
    fiber.mask = mask;
    fiber.value = value;
    fiber.source = source;
    yield_as(kWarpWait);
    return fibers[running].result;
}

template <typename T>
T shuffle(unsigned mask, T value, int source) {
    static_assert(sizeof(T) <= sizeof(uint64_t));
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = warp_operation(kShuffle, mask, bits, source);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

static int lane() {
    return running % kWarp;
}

}  // namespace shim

__attribute__((noinline)) static void __syncthreads() {
    shim::yield_as(shim::kBarrier);
    asm volatile("" ::: "memory");
}
__attribute__((noinline)) static void __syncwarp(unsigned mask = 0xffffffffu) {
    shim::warp_operation(shim::kSync, mask, 0, 0);
    asm volatile("" ::: "memory");
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// A clock that runs far ahead at each look, so that who waits for it is soon done.
static inline long long clock64() {
    static long long ticks = 0;
    return ticks += 1 << 30;
}

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const int lane = shim::lane(), first = lane / width * width;
    return shim::shuffle(mask, value, first + source % width);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = shim::lane(), source = lane % width + int(delta);
    return shim::shuffle(mask, value, source < width ? lane + int(delta) : lane);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = shim::lane(), source = lane % width - int(delta);
    return shim::shuffle(mask, value, source >= 0 ? lane - int(delta) : lane);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int flip, int width = 32) {
    const int lane = shim::lane(), source = lane ^ flip;
    return shim::shuffle(mask, value, source / width <= lane / width ? source : lane);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate) {
    return unsigned(shim::warp_operation(shim::kBallot, mask, predicate != 0, 0));
}
static inline int __any_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, predicate) != 0;
}
static inline int __all_sync(unsigned mask, int predicate) {
    return __ballot_sync(mask, !predicate) == 0;
}
