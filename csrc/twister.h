#pragma once

#include <cstdint>

// The Mersenne twister MT19937.
//
// Source: Matsumoto and Nishimura, "Mersenne Twister: A 623-dimensionally equidistributed uniform
// pseudorandom number generator", ACM TOMACS 8(1), 1998.

namespace sscaffe {

constexpr int64_t kTwisterWords = 624;

// Draw `count` numbers.
//
//   state     [624]     the words of the state, moved on
//   position  of the next word to be given out, up to 624
//   draws     [count]   overwritten
//
// Returns the new position.
int64_t twister_draw(uint32_t* state, int64_t position, int64_t count, uint32_t* draws);

}  // namespace sscaffe
