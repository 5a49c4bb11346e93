# Every target works on a fresh clone: it makes .venv and installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_FLAGS ?=

.PHONY: build demo test lint unit bench gpu soak faults asan fuzz clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# What the build needs stands in the environment too, so that the core is compiled beside the
# Python files, which are used where they stand, and again only where a source changed.
$(VENV)/.build-tools: pyproject.toml | $(BIN)/python
	$(BIN)/python tools/build_requirements.py | xargs -d '\n' $(BIN)/python -m pip install --quiet
	touch $@

$(VENV)/.installed-%: pyproject.toml setup.py $(VENV)/.build-tools
	SSCAFFE_BUILD_JOBS=2 $(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[$*]"
	touch $@

build: $(VENV)/.build-tools
	./tools/build_core.sh $(BIN)/python

demo: $(VENV)/.installed-demo build
	$(BIN)/sscaffe demo $(DEMO_FLAGS)

test: lint unit

lint: $(VENV)/.installed-test build
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror csrc/*.cpp csrc/*.h

unit: $(VENV)/.installed-test build
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n 2

# The core under AddressSanitizer and UBSan; WHAT="tests/kernels -k lrn" runs a part.
asan: $(VENV)/.installed-test
	./tools/test_sanitized.sh $(BIN)/python $(WHAT)

# Half an hour for each parser; FUZZ_SECONDS=60 for a look. Without atheris, which not every Python
# has, a plain mutator takes its place, and says so.
FUZZ_SECONDS ?= 1800
FUZZ_FLAGS ?=
fuzz: $(VENV)/.installed-test build
	$(BIN)/python tools/build_requirements.py fuzz | xargs -d '\n' $(BIN)/python -m pip install --quiet || true
	for target in prototxt solver caffemodel solverstate flags; do \
	    $(BIN)/python -m tests.fuzz.$$target -max_total_time=$(FUZZ_SECONDS) $(FUZZ_FLAGS) || exit 1; done

bench: $(VENV)/.installed-test build
	$(BIN)/python tools/bench_train.py --rounds 3
	$(BIN)/python tools/bench_infer.py --nets lenet cifar_full resnet20 squeezenet caffenet --rounds 3
	$(BIN)/python tools/bench_sparse.py --rounds 5
	@echo "Peers take part with --torch-python, --ort-python, --caffe-python: see tools/bench/README.md"

# Needs a GPU, and what runs it: CUDA=12 for drivers older than 580.
CUDA ?= 13
gpu: $(VENV)/.installed-test $(VENV)/.installed-cuda$(CUDA) build
	$(BIN)/sscaffe device_query --gpu 0
	$(BIN)/python -m pytest -m gpu tests
	$(BIN)/python tools/bench_gpu.py

# What tests/trust does in minutes with the numbers of a release, then half an hour of fuzzing.
soak: $(VENV)/.installed-test build
	OMP_NUM_THREADS=1 TRUST_KILLS=200 TRUST_SIGNALS=50 TRUST_ITERATIONS=50000 \
		$(BIN)/python -m pytest tests/trust -s --timeout=36000
	$(MAKE) fuzz FUZZ_SECONDS=360

# Minutes: ranks killed, stopped and cut off, more often than in `make unit`.
faults: $(VENV)/.installed-test $(VENV)/.installed-mpi build
	OMP_NUM_THREADS=1 FAULT_KILLS=20 $(BIN)/python -m pytest tests/parallel -s --timeout=3600

clean:
	rm -rf $(VENV) build dist sscaffe/*.so sscaffe/proto/caffe_pb2.* *.egg-info runs
