# Each target sets up what it needs on a fresh machine. `make run` is the whole system on localhost.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export NUMBA_CACHE_DIR ?= $(CURDIR)/.run/numba
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)

.PHONY: run test check bench gpu load image-test format clean help

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 14

run: $(VENV)/.run  ## set everything up and serve on 127.0.0.1:8080 (HOST PORT ADS WORKERS SCORER)
	@exec $(BIN)/adserver demo

test: $(VENV)/.test .run/chromium  ## all tests, with the real Triton and a real browser
	@$(BIN)/python -m adserver.compiling
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 tests

check: $(VENV)/.test  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.test  ## every benchmark; one JSON line per figure
	$(BIN)/adserver bench

gpu: $(VENV)/.test  ## check, tune and measure the GPU path; without a GPU its kernels are interpreted
	$(BIN)/python bench/gpu.py

load: $(VENV)/.test  ## one minute of open-loop load and one of locust against a running server
	$(BIN)/python -m loadtest.open_loop --seconds 60
	$(BIN)/locust -f loadtest/locustfile.py --headless -u 32 -r 16 -t 60s --exit-code-on-error 0 \
		--host http://$${HOST:-127.0.0.1}:$${PORT:-8080}

image-test:  ## build the container image and answer an ad request from inside it
	scripts/image_test.sh

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove everything that these targets made
	rm -rf $(VENV) .triton .run var build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "adserver needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=24' wheel

# hnswlib is published as source only.
$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@command -v c++ >/dev/null || command -v g++ >/dev/null \
		|| { echo "hnswlib is built from source: install a C++ compiler (apt-get install g++ python3-dev, xcode-select --install)"; exit 1; }
	@echo "installing packages into $(VENV)"
	$(PIP) -e .
	@touch $@

# torch is pinned to a release with a CPU build where the index has one, triton to what its CUDA build asks for.
$(VENV)/.test: $(VENV)/.run
	@echo "installing what tests, training and load tests need"
	@$(BIN)/python -m adserver.compiling & # who needs the kernels, waits for them
	$(PIP) -e '.[test,train,load]'
	@touch $@

.run/chromium:
	@mkdir -p .run
ifeq ($(CHROMIUM),)
	@echo "installing Chromium for the browser tests"
	@if [ "$$(id -u)" = 0 ]; then SUDO=; else SUDO=sudo; fi; \
		$$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq --no-install-recommends chromium >/dev/null
endif
	@touch $@
