# make demo | make test | make test-oldest | make lint: each sets up .venv first and needs only Python
# 3.11 or newer.
#
#   make PYTHON=/path/to/python3 ...   build .venv on this interpreter, not the newest one found
#   make test TORCH=                   without PyTorch; the tests that need it skip
#   make test PYTEST_FLAGS='-x -k em'  other arguments for pytest

VENV := .venv
PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check
METADATA := setup.cfg pyproject.toml

PYTHON ?=
TORCH ?= torch==2.13.0
PYTEST_FLAGS ?= -n 2 --dist worksteal

.NOTPARALLEL:
.PHONY: help demo test test-oldest lint clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.installed-demo
	MPLBACKEND=Agg $(PY) examples/quick_start.py

test: $(VENV)/.installed-test $(if $(TORCH),$(VENV)/.installed-$(TORCH))
	$(PY) -m pytest $(PYTEST_FLAGS)

# The estimators with the oldest scikit-learn that is supported, in an environment of its own.
test-oldest: $(VENV)-oldest/.installed
	$(VENV)-oldest/bin/python -m pytest $(PYTEST_FLAGS) tests/estimators tests/common tests/utils

lint: $(VENV)/.installed-lint
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

clean:
	rm -rf $(VENV) $(VENV)-oldest build dist *.egg-info demo_output .*_cache .hypothesis
	find skpc tests examples -name __pycache__ -prune -exec rm -rf {} +

# The environment remembers which checkout it was made for, since a copied one would go on
# importing the original. One that does not run, or was left half made, is made anew.
SOUND := $(shell test "$$(cat $(VENV)/.made-for 2>/dev/null)" = "$(CURDIR)" && \
	$(PY) -c 'import pip' >/dev/null 2>&1 && echo yes)
ifneq ($(SOUND),yes)
.PHONY: $(VENV)/.made-for
endif

$(VENV)/.made-for:
	@python="$(PYTHON)"; \
	test -n "$$python" || python=$$(sh tools/find_python) || exit 1; \
	echo "Making $(VENV) with $$python"; \
	"$$python" -m venv --clear $(VENV)
	@printf '%s\n' "$(CURDIR)" > $@

$(VENV)/.installed-demo: extras := plot,datasets
$(VENV)/.installed-test: extras := test
$(VENV)/.installed-lint: extras := dev

# PyTorch comes first and alone, so that nothing else chooses its version.
$(VENV)/.installed-test: | $(if $(TORCH),$(VENV)/.installed-$(TORCH))

$(VENV)/.installed-demo $(VENV)/.installed-test $(VENV)/.installed-lint: $(VENV)/.made-for $(METADATA)
	@echo "Installing skpc[$(extras)] into $(VENV); the first time takes some minutes"
	$(INSTALL) --editable '.[$(extras)]'
	@touch $@

$(VENV)-oldest/.installed: $(VENV)/.made-for $(METADATA)
	@echo "Installing skpc[test] with scikit-learn 1.6 into $(VENV)-oldest"
	$(PY) -m venv --clear $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[test]' 'scikit-learn==1.6.*'
	@touch $@

ifneq ($(TORCH),)
$(VENV)/.installed-$(TORCH): $(VENV)/.made-for
	@echo "Installing $(TORCH) into $(VENV); 'make test TORCH=' does without"
	$(INSTALL) '$(TORCH)'
	@touch '$@'
endif
