#include "bind_series.h"

#include "bind_checks.h"

using namespace sscaffe::binding;

namespace {

// Whether a function is one of the core's, which hold on to nothing but their arguments.
bool is_native(const py::function& function) {
    PyObject* given = function.ptr();
    return PyCFunction_Check(given) ||
           (PyMethod_Check(given) && PyCFunction_Check(PyMethod_GET_FUNCTION(given)));
}

// The arguments, and no list among them, whose elements might go.
py::tuple as_kept(const py::tuple& arguments) {
    py::tuple kept(arguments.size());
    for (size_t i = 0; i < arguments.size(); ++i) {
        const py::object one = arguments[i];
        kept[i] = py::isinstance<py::list>(one) ? py::object(py::tuple(one)) : one;
    }
    return kept;
}

// Calls that were made once and checked then, to be made again as one.
class Series {
   public:
    // Call a function; false if it is none of those that can be made again, and is not in the
    // series.
    bool note(const py::function& function, const py::tuple& given) {
        if (!is_native(function)) {
            function(*given);
            return false;
        }
        const py::tuple arguments = as_kept(given);
        const size_t before = calls_.size();
        {
            const Noting noting(&calls_);
            function(*arguments);
        }
        if (calls_.size() == before) return false;
        kept_.append(py::make_tuple(function, arguments));
        return true;
    }

    void run() const {
        py::gil_scoped_release unlocked;
        for (const Work& call : calls_) call();
    }

    size_t size() const { return calls_.size(); }

   private:
    struct Noting {
        explicit Noting(std::vector<Work>* calls) { noted_work = calls; }
        ~Noting() { noted_work = nullptr; }
    };

    std::vector<Work> calls_;
    py::list kept_;  // what they read and write
};

}  // namespace

void bind_series(py::module_& m) {
    py::class_<Series>(m, "Series")
        .def(py::init<>())
        .def("note", &Series::note, "function"_a, "arguments"_a)
        .def("run", &Series::run)
        .def("__len__", &Series::size);
}
