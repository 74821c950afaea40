# Everything a developer runs. `make` alone lists it. Each target sets up what it needs, and nothing twice.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

VENV := .venv
BIN := $(VENV)/bin
CLIENTS := $(VENV)/clients
PIP := $(BIN)/python -m pip --quiet --quiet
PYX := $(shell find native -name '*.pyx' -o -name '*.pxd')
C := $(filter-out $(PYX:.pyx=.c),$(shell find native -name '*.[ch]'))
STUBS := $(subst /,.,$(basename $(shell find eagent -name '_*.pyi')))

# What a Python needs to build eagent, as a program that prints what is missing.
define NEEDS
import importlib.util, os, sys, sysconfig
ver = "%d.%d" % sys.version_info[:2]
missing = []
if sys.version_info < (3, 11): missing.append("Python 3.11 or later (this is %s)" % ver)
if not importlib.util.find_spec("ensurepip"): missing.append("the venv module (Debian: apt-get install python3-venv)")
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")): missing.append("the headers of Python %s (Debian: apt-get install python3-dev)" % ver)
if missing: print("; ".join(missing))
sys.exit(bool(missing))
endef
export NEEDS

##@ Using it
.PHONY: demo
demo: $(VENV)/.runtime ## run `eagent demo` on simulated hosts [HOSTS=3 TRACE=file.csv JSON=out.json SECONDS=60]
	@$(BIN)/eagent demo $(if $(HOSTS),--hosts '$(HOSTS)') $(if $(TRACE),--trace '$(TRACE)') $(if $(JSON),--json '$(JSON)') $(if $(SECONDS),--seconds '$(SECONDS)')

##@ Working on it
.PHONY: venv build test torture torture-mutants fuzz soak asan referee lint format bench calibrate clean help
venv: $(VENV)/.dev ## make .venv with eagent, editable, and all that tests and checks need

build: $(VENV)/.dev ## compile the native half in place, whatever the stamps say
	@$(BIN)/python setup.py --quiet build_ext --inplace --force > /dev/null

# Half of the time a test of real processes waits for them: three workers for two cores.
WORKERS := $(shell echo $$(((3 * $$(nproc) + 1) / 2)))
test: $(VENV)/.dev ## run the tests [ARGS='-k journal' WORKERS=3]
	@$(MAKE) clients || echo "clients: not installed, so their tests are skipped" >&2
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

.PHONY: clients
clients: $(VENV)/.clients ## make .venv/clients: programs of others that speak NVML, as tests/integration/clients runs them

# Two hosts at a time, for two cores: more of them would be slower than the times that are promised.
torture: $(VENV)/.dev ## kill, stop and disturb eagent on simulated hosts, at random [ROUNDS=500 SEED=n]
	@$(BIN)/python -m tests.torture $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(SEED),--seed '$(SEED)') $(ARGS)

torture-mutants: $(VENV)/.dev ## break one mechanism of the warden at a time: the torture must fail for each [ARGS=name]
	@$(BIN)/python -m tests.torture.mutate $(ARGS)

.PHONY: deb
deb: build ## make the Debian package, for this machine's Python version and processor [into dist/]
	@$(BIN)/python debian/build.py dist

fuzz: $(VENV)/.dev ## hostile bytes at every door: the warden's socket, HTTP, mesh, files [SECONDS=320 SEED=n ARGS=target]
	@$(BIN)/python -m tests.fuzz $(if $(SECONDS),--seconds '$(SECONDS)') $(if $(SEED),--seed '$(SEED)') $(ARGS)

soak: $(VENV)/.dev ## run what takes minutes and gigabytes, and no other test [MINUTES=30 of churn, ARGS='-k large']
	@EAGENT_SOAK_MINUTES='$(MINUTES)' $(BIN)/python -m pytest -n 2 -m soak $(ARGS)

referee: $(VENV)/.dev ## run tests/referee on a real kernel, in an emulated machine [ARGS='-k floor']
	@$(BIN)/python -m tests.referee.vm $(ARGS)

# In a copy of the tree, so that the normal build stays. Python frees little at its end: leaks are not looked for. Other
# tests run native code, too, but of processes that must answer in time. Those that compile C of their own, for which
# they ask for sanitizers if they want them, would do here what they do in `make test`.
ASAN := build/asan
ASAN_TESTS := tests/native tests/sim tests/hardware tests/telemetry
ASAN_WITHOUT := tests/native/loop tests/native/govern
asan: $(VENV)/.dev ## run the native half's unit tests under address and undefined-behaviour sanitizers [ARGS='-k plant']
	@mkdir -p $(ASAN)/eagent && rm -rf $(ASAN)/native $(ASAN)/tests && find $(ASAN)/eagent -name '*.py' -delete
	@tar -c --exclude='*.so' --exclude=__pycache__ README.md LICENSE setup.py pyproject.toml eagent native benchmarks config docs tests | tar -x -C $(ASAN)
	@cd $(ASAN) && EAGENT_BUILD=asan ../../$(BIN)/python setup.py --quiet build_ext --inplace > /dev/null
	@cd $(ASAN) && LD_PRELOAD="$$(gcc -print-file-name=libasan.so):$$(gcc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc PYTHONPATH="$$PWD" \
		../../$(BIN)/python -m pytest -n 2 --hypothesis-profile=slow $(addprefix --ignore=,$(ASAN_WITHOUT)) $(ASAN_TESTS) $(ARGS)

lint: $(VENV)/.dev ## all static checks: style, types, imports, C, stubs of the compiled modules
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache > $(VENV)/imports.log || { cat $(VENV)/imports.log; exit 1; }
	@$(if $(PYX),PATH="$(CURDIR)/$(BIN):$$PATH" cython-lint $(PYX))  # it runs pycodestyle from the PATH
	@$(if $(C),$(BIN)/clang-format --dry-run -Werror $(C))
	@$(if $(STUBS),$(BIN)/python -m mypy.stubtest --concise --ignore-disjoint-bases --allowlist tests/stubtest.allow --ignore-unused-allowlist $(STUBS) > $(VENV)/stubs.log || { cat $(VENV)/stubs.log; exit 1; })
	@echo "lint: clean"

format: $(VENV)/.dev ## rewrite Python and C in the house style
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .
	@$(if $(C),$(BIN)/clang-format -i $(C))

bench: $(VENV)/.dev ## run a benchmark [NAME=x runs benchmarks/x.py or x/, ARGS=]
	@$(if $(NAME),,echo "bench: say which: make bench NAME=$$(grep -ls '^if __name__ == "__main__"' benchmarks/*.py benchmarks/*/__main__.py | sed 's,^benchmarks/,,; s,\(/__main__\)\?\.py$$,,' | grep -v '^calibrate$$' | paste -sd'|')" >&2; exit 2)
	@$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

calibrate: $(VENV)/.dev ## set the plant against published measurements [DATA=folder, which is no part of eagent]
	@$(BIN)/python -m benchmarks.calibrate $(if $(DATA),'$(DATA)')

clean: ## remove all that was built, the environment included
	@rm -rf $(VENV) build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@rm -f $(wildcard $(patsubst %.pyx,%.c,$(filter %.pyx,$(PYX))))
	@find eagent tests benchmarks -name '*.so' -delete -o -name '*.pyc' -delete 2>/dev/null || true

help:
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- The environment: .runtime is eagent with its native half compiled, .dev adds the tools ---

$(BIN)/python:
	@command -v gcc > /dev/null || { echo "make: a C compiler is missing (Debian: apt-get install gcc)" >&2; exit 1; }
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
		missing=$$("$$python" -c "$$NEEDS" 2> /dev/null) && break; \
		$(if $(PYTHON),break;) \
	done; \
	if [ -n "$$missing" ] || ! "$$python" -c "$$NEEDS" > /dev/null 2>&1; then \
		echo "make: $$python: missing: $${missing:-a working Python 3.11 or later (Debian: apt-get install python3)}" >&2; exit 1; \
	fi; \
	echo "environment: $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'  # the first that knows dependency groups

# Changed metadata installs anew; changed native sources only compile, with the tools of .dev where they are.
$(VENV)/.runtime: pyproject.toml setup.py $(PYX) $(C) | $(BIN)/python
	@echo "eagent: compiling$(if $(filter %.toml %.py,$?), and installing)"
	@if [ -z "$(filter %.toml %.py,$?)" ] && [ -e $(VENV)/.dev ]; then \
		$(BIN)/python setup.py --quiet build_ext --inplace > /dev/null; \
	else \
		$(PIP) install --editable '.[demo]'; \
	fi
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.runtime
	@if [ ! -e $@ ] || [ pyproject.toml -nt $@ ]; then echo "tools: installing"; $(PIP) install --group test --group lint; fi
	@touch $@

# Each package of the list by itself, as the list is whole: what pip would add for them is twice as large. What they
# import is compiled here, once, and not by each test.
$(VENV)/.clients: tests/integration/clients/requirements.txt | $(BIN)/python
	@echo "clients: installing"
	@rm -rf $(CLIENTS)
	@$(BIN)/python -m venv --without-pip $(CLIENTS)
	@$(PIP) --python $(CLIENTS)/bin/python install --retries 2 --no-deps --no-compile --requirement $<
	@PYTHONDONTWRITEBYTECODE= $(CLIENTS)/bin/python -c 'import nvitop.cli, gpustat.cli, zeus.monitor, zeus.optimizer.power_limit, codecarbon, carbontracker.tracker, py3nvml.nvidia_smi, cuda.bindings.nvml'
	@touch $@
