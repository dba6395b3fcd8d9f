# make demo   trains, exports, serves and asks, on a machine with Python 3.11 or later and make; make demo-all   in full
# make test   all tests      make lint   style and types      make bench   speed and memory beside the peers (installs them)
# make image  the server and exports/ as a container image; IMAGE=serving: with the stock TensorFlow Serving
# make serve  runs that image with exports/ as they are, on ports 8500 and 8501, until Ctrl-C
# make acceptance   one line per promise of the README: promised, found (installs the peers; two hours)
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check
IMAGE ?= embedded
ENGINE ?= $(shell for engine in docker podman; do $$engine info >/dev/null 2>&1 && echo $$engine && break; done)

.PHONY: demo demo-all test lint bench compatibility acceptance image serve clean

demo: .venv/.ready
	@PATH="$(CURDIR)/.venv/bin:$$PATH" bash serving/demo.sh small

demo-all: .venv/.ready
	@PATH="$(CURDIR)/.venv/bin:$$PATH" bash serving/demo.sh full

test: .venv/.ready-dev
	.venv/bin/python -m pytest

lint: .venv/.ready-dev
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

bench: .venv-peers/.ready
	.venv-peers/bin/python -m tests.bench

compatibility: .venv/.ready-dev .venv-tf-2.12.1/.ready .venv-tf-2.20.0/.ready
	.venv/bin/python -m tests.bench.compatibility

acceptance: .venv/.ready-dev .venv-peers/.ready .venv-tf-2.12.1/.ready .venv-tf-2.20.0/.ready
	.venv/bin/python -m tests.acceptance

image:
	@[ -n "$(wildcard exports/*/[0-9]*/saved_model.pb)" ] || { echo "make: expected exports/NAME/1/saved_model.pb for each model, found none: make demo-all, or python -m serving.export RUN --to exports/NAME"; exit 2; }
	@[ -n "$(ENGINE)" ] || { echo "make: expected docker or podman that answers \`info\`, found neither; without one: python -m serving.server --model_config_file FILE"; exit 2; }
	$(ENGINE) build -t lineage-$(IMAGE) -f docker/$(IMAGE).Dockerfile .

serve: image
	$(ENGINE) run --rm -p 8500:8500 -p 8501:8501 -v "$(CURDIR)/exports:/models:ro,z" lineage-$(IMAGE)

clean:
	rm -rf .venv .venv-peers .venv-tf-* .pytest_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("expected Python 3.11 or later, found %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/.ready: .venv/bin/python requirements.txt
	@echo "setting up .venv (some minutes: TensorFlow is large)"
	$(PIP) -r requirements.txt
	@touch $@

.venv/.ready-dev: .venv/.ready requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

.venv-peers/.ready: requirements-peers.txt requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet torch==2.13.0
	.venv-peers/bin/python -m pip install --quiet -r requirements-peers.txt
	@touch $@

# What the stock TensorFlow Serving images hold: 2.12.1 (up to image 2.19) and 2.20.0. TF Text without its dependencies:
# it asks for the package tensorflow, of which tensorflow-cpu is the part without GPU libraries.
.venv-tf-%/.ready:
	$(PYTHON) -m venv .venv-tf-$*
	.venv-tf-$*/bin/python -m pip install --quiet tensorflow-cpu==$*
	.venv-tf-$*/bin/python -m pip install --quiet --no-deps tensorflow-text==$* tensorflow-hub
	@touch $@
