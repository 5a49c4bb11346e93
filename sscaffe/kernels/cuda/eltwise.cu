// Several arrays combined element by element, up to four in a launch; null stands for none.
#include "common.cuh"

// y = a_factor * a + b_factor * b + ...
extern "C" __global__ void weighted_sum(int packs, int count, const Real* a, const Real* b,
                                        const Real* c, const Real* d, Real a_factor, Real b_factor,
                                        Real c_factor, Real d_factor, Real* y) {
    const Real* more[3] = {b, c, d};
    const Real factors[3] = {b_factor, c_factor, d_factor};
    FOR_EACH(p, packs) {
        Pack sum = load_pack(a, 4 * p, count);
#pragma unroll
        for (int i = 0; i < 4; ++i) sum.at[i] *= a_factor;
#pragma unroll
        for (int k = 0; k < 3; ++k) {
            if (!more[k]) continue;
            const Pack term = load_pack(more[k], 4 * p, count);
#pragma unroll
            for (int i = 0; i < 4; ++i) sum.at[i] += factors[k] * term.at[i];
        }
        store_pack(sum, y, 4 * p, count);
    }
}

// a = a_factor * x, b = b_factor * x, ...
extern "C" __global__ void scaled_copies(int packs, int count, const Real* x, Real* a, Real* b,
                                         Real* c, Real* d, Real a_factor, Real b_factor,
                                         Real c_factor, Real d_factor) {
    Real* const copies[4] = {a, b, c, d};
    const Real factors[4] = {a_factor, b_factor, c_factor, d_factor};
    FOR_EACH(p, packs) {
        const Pack values = load_pack(x, 4 * p, count);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            if (!copies[k]) continue;
            Pack scaled;
#pragma unroll
            for (int i = 0; i < 4; ++i) scaled.at[i] = factors[k] * values.at[i];
            store_pack(scaled, copies[k], 4 * p, count);
        }
    }
}

// y = a * b * ...
extern "C" __global__ void product(int packs, int count, const Real* a, const Real* b,
                                   const Real* c, const Real* d, Real* y) {
    const Real* more[3] = {b, c, d};
    FOR_EACH(p, packs) {
        Pack result = load_pack(a, 4 * p, count);
#pragma unroll
        for (int k = 0; k < 3; ++k) {
            if (!more[k]) continue;
            const Pack factor = load_pack(more[k], 4 * p, count);
#pragma unroll
            for (int i = 0; i < 4; ++i) result.at[i] *= factor.at[i];
        }
        store_pack(result, y, 4 * p, count);
    }
}

// The gradients of a * b: da = dy * b, db = dy * a.
extern "C" __global__ void product_of_two_backward(int packs, int count, const Real* dy,
                                                   const Real* a, const Real* b, Real* da,
                                                   Real* db) {
    FOR_EACH(p, packs) {
        const Pack diff = load_pack(dy, 4 * p, count);
        Pack of_a = load_pack(b, 4 * p, count), of_b = load_pack(a, 4 * p, count);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            of_a.at[i] *= diff.at[i];
            of_b.at[i] *= diff.at[i];
        }
        if (da) store_pack(of_a, da, 4 * p, count);
        if (db) store_pack(of_b, db, 4 * p, count);
    }
}

// dx = dy * (y / x)
extern "C" __global__ void product_backward_by_division(int packs, int count, const Real* dy,
                                                        const Real* y, const Real* x, Real* dx) {
    FOR_EACH(p, packs) {
        Pack diff = load_pack(dy, 4 * p, count);
        const Pack product = load_pack(y, 4 * p, count), factor = load_pack(x, 4 * p, count);
#pragma unroll
        for (int i = 0; i < 4; ++i) diff.at[i] *= product.at[i] / factor.at[i];
        store_pack(diff, dx, 4 * p, count);
    }
}

// The larger of two, NaN if one is; of equal elements the second wins.
extern "C" __global__ void larger_of_two(int packs, int count, const Real* a, const Real* b,
                                         Real* y, int* winner) {
    FOR_EACH(p, packs) {
        const Pack one = load_pack(a, 4 * p, count), other = load_pack(b, 4 * p, count);
        Pack largest;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const bool first_wins = one.at[i] > other.at[i], is_nan = one.at[i] != one.at[i];
            largest.at[i] = first_wins || is_nan ? one.at[i] : other.at[i];
            if (i < count - 4 * p) winner[4 * p + i] = first_wins ? 0 : 1;
        }
        store_pack(largest, y, 4 * p, count);
    }
}

// y = the larger of y and x, which wins only where it is larger.
extern "C" __global__ void take_larger(int packs, int count, int index, const Real* x, Real* y,
                                       int* winner) {
    FOR_EACH(p, packs) {
        Pack largest = load_pack(y, 4 * p, count);
        const Pack values = load_pack(x, 4 * p, count);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const bool is_larger = values.at[i] > largest.at[i];
            const bool is_nan = values.at[i] != values.at[i];
            if (is_larger || is_nan) largest.at[i] = values.at[i];
            if (is_larger && i < count - 4 * p) winner[4 * p + i] = index;
        }
        store_pack(largest, y, 4 * p, count);
    }
}

// a = dy where bottom number `index` won, and 0 elsewhere; b for the number after it.
extern "C" __global__ void select_winners(int packs, int count, int index, const Real* dy,
                                          const int* winner, Real* a, Real* b) {
    FOR_EACH(p, packs) {
        const Pack diff = load_pack(dy, 4 * p, count);
        Pack of_a, of_b;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int won = i < count - 4 * p ? winner[4 * p + i] : -1;
            of_a.at[i] = won == index ? diff.at[i] : Real(0);
            of_b.at[i] = won == index + 1 ? diff.at[i] : Real(0);
        }
        if (a) store_pack(of_a, a, 4 * p, count);
        if (b) store_pack(of_b, b, 4 * p, count);
    }
}
