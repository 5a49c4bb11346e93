#include <optional>
#include <tuple>

#include "bind_checks.h"
#include "group_lasso.h"
#include "memory.h"
#include "update.h"

using namespace sscaffe::binding;

namespace {

using sscaffe::BlockTiling;
using sscaffe::LassoFactors;
using sscaffe::Memory;
using sscaffe::UpdateArrays;
using sscaffe::UpdateRule;
using sscaffe::UpdateStep;

using Bytes = py::array_t<bool, py::array::c_style>;
using History = std::vector<Memory*>;
// Factors, ydimen and xdimen.
using Lasso = std::tuple<Floats, int64_t, int64_t>;

BlockTiling tiling_of(int64_t rows, int64_t columns, int64_t ydimen, int64_t xdimen) {
    if (ydimen < 1 || rows % ydimen) refuse("ydimen", rows, "or a divisor of it", ydimen);
    if (xdimen < 1 || columns % xdimen) refuse("xdimen", columns, "or a divisor of it", xdimen);
    return {rows, columns, ydimen, xdimen};
}

BlockTiling tiling_of(const Floats& weights, int64_t ydimen, int64_t xdimen) {
    require_dims(weights, 2, "weights");
    return tiling_of(weights.shape(0), weights.shape(1), ydimen, xdimen);
}

double group_lasso(const Floats& weights, Floats& diff, int64_t ydimen, int64_t xdimen,
                   float decay) {
    const BlockTiling tiling = tiling_of(weights, ydimen, xdimen);
    require_size(diff, weights.size(), "diff");
    float* out = diff.mutable_data();
    py::gil_scoped_release unlocked;
    return sscaffe::group_lasso(tiling, decay, weights.data(), out);
}

double group_lasso_factors(const Floats& weights, Floats& factors, int64_t ydimen, int64_t xdimen,
                           float decay) {
    const BlockTiling tiling = tiling_of(weights, ydimen, xdimen);
    require_size(factors, tiling.rows / ydimen * (tiling.columns / xdimen), "factors");
    float* out = factors.mutable_data();
    py::gil_scoped_release unlocked;
    return sscaffe::group_lasso_factors(tiling, decay, weights.data(), out);
}

void shrink_groups(Floats& weights, std::optional<Floats>& history, int64_t ydimen, int64_t xdimen,
                   double limit, double share) {
    const BlockTiling tiling = tiling_of(weights, ydimen, xdimen);
    if (history) require_size(*history, weights.size(), "history");
    if (!(limit >= 0)) refuse("limit", 0, "or more", limit);
    float* past = history ? history->mutable_data() : nullptr;
    float* out = weights.mutable_data();
    py::gil_scoped_release unlocked;
    sscaffe::shrink_groups(tiling, limit, share, out, past);
}

UpdateRule rule_of(const std::string& name) {
    if (name == "SGD") return UpdateRule::kSgd;
    if (name == "Nesterov") return UpdateRule::kNesterov;
    if (name == "Adam") return UpdateRule::kAdam;
    throw py::value_error("rule: expected SGD, Nesterov or Adam, got " + name);
}

// From an object with attributes of these names.
UpdateStep step_of(const py::object& step) {
    const auto field = [&](const char* name) { return step.attr(name).cast<float>(); };
    UpdateStep s{};
    s.rule = rule_of(step.attr("rule").cast<std::string>());
    s.clip = field("clip"), s.mean = field("mean");
    s.l2 = field("l2"), s.l1 = field("l1");
    s.rate = field("rate"), s.delta = field("delta"), s.limit = field("limit");
    s.momentum = field("momentum"), s.momentum2 = field("momentum2");
    s.gain = field("gain"), s.gain2 = field("gain2");
    return s;
}

std::vector<LassoFactors> lassos_of(const std::vector<Lasso>& lassos, const Memory& weights,
                                    int64_t rows) {
    std::vector<LassoFactors> found;
    const int64_t count = weights.layout().count();
    for (const auto& [factors, ydimen, xdimen] : lassos) {
        if (!weights.layout().is_plain()) throw py::value_error("weights: expected a plain layout");
        if (rows < 1 || count % rows) refuse("rows", count, "or a divisor of it", rows);
        const BlockTiling tiling = tiling_of(rows, count / rows, ydimen, xdimen);
        require_size(factors, rows / ydimen * (tiling.columns / xdimen), "factors");
        found.push_back({tiling, factors.data()});
    }
    return found;
}

void update(const py::object& step, Memory& weights, Memory& diff, const History& history,
            const std::optional<Bytes>& mask, int64_t rows, const std::vector<Lasso>& lassos) {
    const UpdateStep constants = step_of(step);
    const size_t slots = constants.rule == UpdateRule::kAdam ? 2 : 1;
    if (history.size() != slots) refuse("history", slots, "memories", history.size());
    for (const Memory* other : {&diff, history.front(), history.back()}) {
        if (!other || !(other->layout() == weights.layout())) {
            throw py::value_error("expected memories of one layout");
        }
    }
    const int64_t count = weights.layout().stored();
    if (mask) require_size(*mask, count, "mask");
    const auto* connected = mask ? reinterpret_cast<const uint8_t*>(mask->data()) : nullptr;
    const UpdateArrays arrays{weights.data(), diff.data(), history[0]->data(),
                              slots == 2 ? history[1]->data() : nullptr, connected};
    const std::vector<LassoFactors> found = lassos_of(lassos, weights, rows);
    py::gil_scoped_release unlocked;
    sscaffe::update(constants, count, arrays, found);
}

// Which elements are not 0, in the order in which they are stored.
Bytes memory_mask(const Memory& memory) {
    Bytes mask(memory.layout().stored());
    bool* out = mask.mutable_data();
    for (int64_t i = 0; i < mask.size(); ++i) out[i] = memory.data()[i] != 0;
    return mask;
}

}  // namespace

void bind_update(py::module_& m) {
    m.def("group_lasso", &group_lasso, "weights"_a.noconvert(), "diff"_a.noconvert(), "ydimen"_a,
          "xdimen"_a, "decay"_a);
    m.def("group_lasso_factors", &group_lasso_factors, "weights"_a.noconvert(),
          "factors"_a.noconvert(), "ydimen"_a, "xdimen"_a, "decay"_a);
    m.def("shrink_groups", &shrink_groups, "weights"_a.noconvert(), "history"_a.noconvert(),
          "ydimen"_a, "xdimen"_a, "limit"_a, "share"_a);
    m.def("memory_update", &update, "step"_a, "weights"_a, "diff"_a, "history"_a,
          "mask"_a.noconvert(), "rows"_a, "lassos"_a.noconvert());
    m.def("memory_mask", &memory_mask, "memory"_a);
}
