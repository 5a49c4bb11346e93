#include "geometry.h"

namespace sscaffe {

int64_t ConvGeometry::input_size() const {
    int64_t size = 1;
    for (const ConvAxis& axis : axes) size *= axis.input;
    return size;
}

int64_t ConvGeometry::kernel_size() const {
    int64_t size = 1;
    for (const ConvAxis& axis : axes) size *= axis.kernel;
    return size;
}

int64_t ConvGeometry::output_size() const {
    int64_t size = 1;
    for (const ConvAxis& axis : axes) size *= axis.output();
    return size;
}

}  // namespace sscaffe
