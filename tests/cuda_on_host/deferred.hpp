// What the stand-ins of NVIDIA's libraries share: work goes to the current stream of Python.
#pragma once

#include <cstdint>

namespace shim {

using Work = void (*)(void*);
// Runs work now, or notes it down if the stream captures; 0, or a library's status.
static int (*submit)(Work, void*, void* stream) = nullptr;

struct Handle {
    void* stream = nullptr;
};

// `call` lives on: a captured graph may run it any number of times.
template <typename Call>
int submit_call(const Handle* handle, const Call& call) {
    return submit([](void* data) { static_cast<Call*>(data)->run(); }, new Call(call),
                  handle->stream);
}

}  // namespace shim

extern "C" void set_submit(int (*submit)(shim::Work, void*, void*)) {
    shim::submit = submit;
}
