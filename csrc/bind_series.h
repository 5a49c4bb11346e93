#pragma once

#include <pybind11/pybind11.h>

#include <functional>
#include <utility>
#include <vector>

// How a call of the core may be made again later, without Python: see Series in bind_series.cpp.

namespace sscaffe::binding {

using Work = std::function<void()>;

// Where the work of calls in this thread is noted, if it is.
inline thread_local std::vector<Work>* noted_work = nullptr;

// Do what a call is there for, once its arguments are checked, and note it where that is asked for.
//
// `work` holds pointers into the arguments, which whoever notes it keeps, and nothing of Python.
template <typename Function>
void carry_out(Function work) {
    {
        pybind11::gil_scoped_release unlocked;
        work();
    }
    if (noted_work) noted_work->emplace_back(std::move(work));
}

}  // namespace sscaffe::binding
