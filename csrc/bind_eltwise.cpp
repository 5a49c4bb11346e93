#include "bind_checks.h"
#include "bind_series.h"
#include "eltwise.h"
#include "memory.h"

using namespace sscaffe::binding;

namespace {

using sscaffe::Memory;
using Memories = std::vector<Memory*>;
using Factors = std::vector<float>;

void require_like(const Memory& a, const Memory& b) {
    if (!(a.layout() == b.layout())) throw py::value_error("expected memories of one layout");
}

sscaffe::Sources sources_of(const Memories& x, size_t least, const Memory& like) {
    if (x.size() < least) refuse("x", least, "or more memories", x.size());
    sscaffe::Sources sources;
    for (const Memory* memory : x) {
        require_like(*memory, like);
        sources.push_back(memory->data());
    }
    return sources;
}

void require_factors(const Factors& factors, size_t count) {
    if (factors.size() != count) refuse("factors", count, "numbers", factors.size());
}

void weighted_sum(const Factors& factors, const Memories& x, Memory& y) {
    const auto sources = sources_of(x, 1, y);
    require_factors(factors, x.size());
    carry_out([=, &y] { sscaffe::weighted_sum(y.layout().stored(), factors, sources, y.data()); });
}

void scaled_copies(const Factors& factors, const Memory& x, const Memories& y) {
    require_factors(factors, y.size());
    sscaffe::Targets targets;
    for (Memory* memory : y) {
        require_like(*memory, x);
        targets.push_back(memory->data());
    }
    py::gil_scoped_release unlocked;
    sscaffe::scaled_copies(x.layout().stored(), factors, x.data(), targets);
}

void product(const Memories& x, Memory& y) {
    const auto sources = sources_of(x, 1, y);
    carry_out([=, &y] { sscaffe::product(y.layout().stored(), sources, y.data()); });
}

void largest(const Memories& x, Memory& y, Ints& winner) {
    const auto sources = sources_of(x, 2, y);
    require_size(winner, y.layout().stored(), "winner");
    int32_t* winners = winner.mutable_data();
    carry_out([=, &y] { sscaffe::largest(y.layout().stored(), sources, y.data(), winners); });
}

void select_winner(int32_t index, const Ints& winner, const Memory& x, Memory& y) {
    require_like(x, y);
    require_size(winner, x.layout().stored(), "winner");
    py::gil_scoped_release unlocked;
    sscaffe::select_winner(x.layout().stored(), index, winner.data(), x.data(), y.data());
}

}  // namespace

void bind_eltwise(py::module_& m) {
    m.def("memory_weighted_sum", &weighted_sum, "factors"_a, "x"_a, "y"_a);
    m.def("memory_scaled_copies", &scaled_copies, "factors"_a, "x"_a, "y"_a);
    m.def("memory_product", &product, "x"_a, "y"_a);
    m.def("memory_largest", &largest, "x"_a, "y"_a, "winner"_a.noconvert());
    m.def("memory_select_winner", &select_winner, "index"_a, "winner"_a.noconvert(), "x"_a, "y"_a);
}
