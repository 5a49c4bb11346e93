#include "twister.h"

#include <algorithm>

namespace sscaffe {
namespace {

constexpr int64_t kWords = kTwisterWords, kDistance = 397;

uint32_t twisted(uint32_t upper, uint32_t lower) {
    const uint32_t word = (upper & 0x80000000u) | (lower & 0x7fffffffu);
    return (word >> 1) ^ ((word & 1) ? 0x9908b0dfu : 0u);
}

// Make all words anew.  Each loop reads words that it has not made yet, or those of the one before.
void twist(uint32_t* state) {
    for (int64_t i = 0; i < kWords - kDistance; ++i) {
        state[i] = state[i + kDistance] ^ twisted(state[i], state[i + 1]);
    }
    for (int64_t i = kWords - kDistance; i < kWords - 1; ++i) {
        state[i] = state[i + kDistance - kWords] ^ twisted(state[i], state[i + 1]);
    }
    state[kWords - 1] = state[kDistance - 1] ^ twisted(state[kWords - 1], state[0]);
}

void temper(int64_t count, const uint32_t* state, uint32_t* draws) {
    for (int64_t i = 0; i < count; ++i) {
        uint32_t word = state[i];
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c5680u;
        word ^= (word << 15) & 0xefc60000u;
        draws[i] = word ^ (word >> 18);
    }
}

}  // namespace

int64_t twister_draw(uint32_t* state, int64_t position, int64_t count, uint32_t* draws) {
    while (count > 0) {
        if (position == kWords) {
            twist(state);
            position = 0;
        }
        const int64_t some = std::min(count, kWords - position);
        temper(some, state + position, draws);
        position += some;
        draws += some;
        count -= some;
    }
    return position;
}

}  // namespace sscaffe
