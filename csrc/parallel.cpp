#include "parallel.h"

namespace sscaffe {

int get_num_threads() {
    return omp_get_max_threads();
}

void set_num_threads(int threads) {
    omp_set_num_threads(threads);
}

}  // namespace sscaffe
