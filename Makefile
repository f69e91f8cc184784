# Everything runs in .venv, which is made and filled on first use and refilled when what it is built from changes.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BUILT_FROM := pyproject.toml constraints.txt CMakeLists.txt $(shell find csrc -type f)

# The editable install maps the modules it finds: a module added or removed asks for a new one.
MODULES := $(shell find python kernels examples -name '*.py' -o -name '*.toml' | sort | cksum | cut -d ' ' -f 1)
TRAIN := $(VENV)/.train-$(MODULES)
DEV := $(VENV)/.dev-$(MODULES)

# A machine without an NVIDIA GPU gets the torch that constraints.txt names, one with a GPU the newest torch.
CONSTRAINTS := $(if $(shell command -v nvidia-smi 2>/dev/null),,--constraint constraints.txt)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint cpp emulated bench docs laws budgets wheel clean

help:
	@echo "make demo    a small scaling study, start to end, in one to three minutes"
	@echo "make test    all tests"
	@echo "make lint    ruff, clang-format, mypy, import contracts"
	@echo "make cpp     C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make emulated  the native ops of the instruction sets that this machine lacks, emulated"
	@echo "make bench   timings, side by side, and against those that are kept"
	@echo "make docs    the documentation, into site/"
	@echo "make laws    the generated modules of laws, from their declarations"
	@echo "make budgets what the compiler makes of every kernel that changed, for every chip"
	@echo "make wheel   sdist and manylinux wheel, into dist/"
	@echo "make clean   remove all of the above; run stores stay"

demo: $(TRAIN)
	@$(BIN)/isoflop demo

test: $(DEV)
	$(BIN)/python -m pytest -n 2 --dist worksteal --timeout 300

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(shell find csrc -name '*.[ch]pp')
	$(BIN)/mypy
	$(BIN)/lint-imports

cpp: $(DEV)
	$(BIN)/cmake -S . -B build/cpp -DISOFLOP_TESTS=ON -DISOFLOP_SANITIZE=ON -DISOFLOP_EMULATE=ON -DISOFLOP_WERROR=ON
	$(BIN)/cmake --build build/cpp --parallel 2
	$(BIN)/ctest --test-dir build/cpp --output-on-failure

# A library of its own, beside the one that is installed: tests/proof/emulated.py has the tests import it. Others that it
# can be asked for, of some five minutes more: EMULATED_TESTS=tests/train/test_engine_regimes.py
EMULATED_TESTS ?= tests/kernels/test_native*.py tests/train/test_engine.py
emulated: $(DEV)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation --upgrade --target build/emulated --config-settings=build-dir=build/emulated-objects \
	  --config-settings=cmake.define.ISOFLOP_EMULATE=ON .
	PYTHONPATH=tests $(BIN)/python -m pytest -p proof.emulated -n 2 --dist worksteal --timeout 300 $(EMULATED_TESTS)
	@echo "left out unless asked for by EMULATED_TESTS: tests/train/test_engine_regimes.py"

# BASELINE=write keeps what it finds as what the next is held to.
BASELINE ?= check
bench: $(DEV)
	$(BIN)/python -m pytest bench --benchmark-only --baseline=$(BASELINE)

docs: $(DEV)
	$(BIN)/mkdocs build --strict

laws: $(DEV)
	$(BIN)/python -m isoflop.laws.emit

budgets: $(DEV)
	PYTHONPATH=tests $(BIN)/python -m proof.budgets

# A wheel of this machine's compiler is one of manylinux: which, its symbols say.
wheel: $(DEV)
	rm -rf dist
	$(BIN)/python -m build --outdir dist/unchecked $(BUILD_FLAGS)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist dist/unchecked/*.whl
	mv dist/unchecked/*.tar.gz dist
	rm -r dist/unchecked

$(TRAIN): EXTRAS := train
$(DEV): EXTRAS := train,dev
$(TRAIN) $(DEV): $(BUILT_FROM) | $(BIN)/python
	@echo "installing isoflop[$(EXTRAS)] into $(VENV): once, a minute or two"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) --editable '.[$(EXTRAS)]'
	@touch $(TRAIN) $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "isoflop needs Python 3.11 or newer; $(PYTHON) is not. Name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

clean:
	rm -rf build dist site $(VENV)
	rm -rf .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find bench kernels python tests -type d -name __pycache__ -prune -exec rm -rf {} +
