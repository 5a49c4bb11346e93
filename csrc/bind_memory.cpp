#include <algorithm>

#include "bind_checks.h"
#include "bind_series.h"
#include "channels.h"
#include "elementwise.h"
#include "memory.h"

using namespace sscaffe::binding;

namespace {

using sscaffe::Dims;
using sscaffe::Layout;
using sscaffe::Memory;

// The last reference may go in a thread that does not hold the GIL.
std::shared_ptr<void> keep(const py::object& object) {
    return std::shared_ptr<void>(object.inc_ref().ptr(), [](void* pointer) {
        py::gil_scoped_acquire locked;
        py::handle(static_cast<PyObject*>(pointer)).dec_ref();
    });
}

Memory wrap(Floats array, const Dims& dims) {
    require_size(array, sscaffe::count_of(dims), "array");
    float* data = array.mutable_data();
    return Memory(data, dims, keep(array));
}

// Floats of `array` in some layout; padding that the layout has is set to 0.
Memory lay_out(const Layout& layout, Floats array) {
    if (array.size() < layout.stored()) refuse("array", layout.stored(), "elements", array.size());
    float* data = array.mutable_data();
    if (layout.stored() > layout.count()) std::fill_n(data, layout.stored(), 0.0f);
    return Memory(layout, data, keep(array));
}

void require_same_layout(const Memory& a, const Memory& b) {
    if (!(a.layout() == b.layout())) throw py::value_error("expected memories of one layout");
}

}  // namespace

void bind_memory(py::module_& m) {
    py::class_<Layout>(m, "Layout")
        .def(py::init<Dims>(), "dims"_a)
        .def_property_readonly("dims",
                               [](const Layout& l) { return py::tuple(py::cast(l.dims())); })
        .def_property_readonly("is_plain", &Layout::is_plain)
        .def_property_readonly("count", &Layout::count)
        .def_property_readonly("stored", &Layout::stored)
        .def_property_readonly("form",
                               [](const Layout& l) {
                                   const auto form = l.form();
                                   return form ? py::object(py::tuple(py::cast(*form)))
                                               : py::object(py::none());
                               })
        .def_property_readonly(
            "channel_block",
            [](const Layout& l) {
                const auto sizes = sscaffe::channel_sizes(l);
                return sizes && !l.is_plain() && !sscaffe::is_channels_last(l) ? sizes->block : 1;
            })
        .def_property_readonly(
            "by_channel", [](const Layout& l) { return sscaffe::channel_sizes(l).has_value(); })
        .def_property_readonly("image_block", &Layout::image_block)
        .def_static(
            "with_channel_block",
            [](const Dims& dims, int64_t block) {
                if (dims.size() != 4) refuse("dims", 4, "axes", dims.size());
                if (block != 1 && block != 8 && block != 16 && block != dims[1])
                    refuse("block", 1, "or 8, 16 or all channels", block);
                return Layout::with_channel_block(dims, block);
            },
            "dims"_a, "block"_a)
        .def_static(
            "with_channels_last",
            [](const Dims& dims) {
                if (dims.size() != 4) refuse("dims", 4, "axes", dims.size());
                return Layout::with_channels_last(dims);
            },
            "dims"_a)
        .def("__eq__", [](const Layout& a, const Layout& b) { return a == b; })
        .def("__ne__", [](const Layout& a, const Layout& b) { return !(a == b); })
        .def("__hash__", [](const Layout& l) { return l.count(); });

    py::class_<Memory>(m, "Memory")
        .def(py::init<Layout>(), "layout"_a)
        .def(py::init(&wrap), "array"_a.noconvert(), "dims"_a)
        .def(py::init(&lay_out), "layout"_a, "array"_a.noconvert())
        .def_property_readonly("layout", &Memory::layout)
        .def_property_readonly("values",
                               [](const py::object& self) {
                                   const auto& memory = self.cast<const Memory&>();
                                   return Floats({memory.layout().stored()}, memory.data(), self);
                               })
        .def(
            "copy_to",
            [](const Memory& self, Memory& other) {
                carry_out([&self, &other] { self.copy_to(other); });
            },
            "other"_a)
        .def("move_to", &Memory::move_to, "other"_a, py::call_guard<py::gil_scoped_release>());

    m.def(
        "memory_add_scaled",
        [](float factor, const Memory& x, Memory& y) {
            require_same_layout(x, y);
            carry_out([factor, &x, &y] {
                sscaffe::add_scaled(x.layout().stored(), factor, x.data(), y.data());
            });
        },
        "factor"_a, "x"_a, "y"_a);
    m.def(
        "memory_scale",
        [](float factor, Memory& x) { sscaffe::scale(x.layout().stored(), factor, x.data()); },
        "factor"_a, "x"_a, py::call_guard<py::gil_scoped_release>());
    m.def(
        "memory_sum_of_squares",
        [](const Memory& x) { return sscaffe::sum_of_squares(x.layout().stored(), x.data()); },
        "x"_a, py::call_guard<py::gil_scoped_release>());
    m.def(
        "memory_threshold",
        [](float limit, Memory& x) { sscaffe::threshold(x.layout().stored(), limit, x.data()); },
        "limit"_a, "x"_a, py::call_guard<py::gil_scoped_release>());
    m.def(
        "memory_relu_forward",
        [](float slope, const Memory& x, Memory& y) {
            require_same_layout(x, y);
            carry_out([slope, &x, &y] {
                sscaffe::relu_forward(x.layout().stored(), slope, x.data(), y.data());
            });
        },
        "slope"_a, "x"_a, "y"_a);
    m.def(
        "memory_relu_backward",
        [](float slope, const Memory& x, const Memory& dy, Memory& dx) {
            require_same_layout(x, dy);
            require_same_layout(x, dx);
            py::gil_scoped_release unlocked;
            sscaffe::relu_backward(x.layout().stored(), slope, x.data(), dy.data(), dx.data());
        },
        "slope"_a, "x"_a, "dy"_a, "dx"_a);
}
