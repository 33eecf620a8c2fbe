# 杏林 Xinglin. Linux and macOS: needs python3 (3.11 or newer) and make (GNU Make 3.81 is enough), nothing else.
# `make` alone lists the targets. Set-up is pip with constraints.txt; the stamps in .venv say what is installed.

PYTHON ?= python3
TORCH_INDEX ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
TORCH := .venv/.torch
RUNTIME := .venv/.runtime
DEVELOPMENT := .venv/.development
# The tests of the rooms whose branches must be covered (architecture: metrics, files, formats).
COVERED := tests/golden/test_metrics.py tests/golden/test_extract.py tests/fast/test_files.py tests/fast/test_types.py \
  $(wildcard tests/fast/test_formats_*.py tests/fast/test_safety_*.py) tests/fast/test_evaluate_compare.py \
  tests/fast/test_evaluate_indications.py

# A wish that comes too late is said, not ignored.
ifneq ($(TORCH_INDEX),)
ifneq ($(wildcard $(TORCH)),)
ifneq ($(TORCH_INDEX),$(shell cat $(TORCH)))
$(warning .venv already has torch from another index: run `make clean` first to change it)
endif
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help quickstart test test-slow lint clean

help:
	@echo '杏林 Xinglin'
	@echo
	@echo '  make quickstart   安装，训练并评测一个小模型，问三个问题（双核 CPU，无需 GPU）'
	@echo '                    set up, train and measure a small model, ask it three questions (no GPU needed)'
	@echo '  make test         静态检查与全部常规测试   lint, then the tests that everyone runs (12 minutes at most)'
	@echo '  make test-slow    长时间测试               the long tests (25 minutes at most)'
	@echo '  make lint         仅静态检查               ruff, pyright, import contracts only'
	@echo '  make clean        删除 .venv 和缓存        remove .venv and caches; results in runs/ stay'
	@echo
	@echo '  PYTHON=python3.12   用哪个 Python           which Python makes .venv (3.11 or newer)'
	@echo '  TORCH_INDEX=URL     从哪里装 PyTorch        an extra index for PyTorch, such as'
	@echo '                      https://download.pytorch.org/whl/cpu'

quickstart: $(RUNTIME)
	$(BIN)/xinglin run recipes/quickstart.yaml
	@echo '先执行 first run:  source .venv/bin/activate'

test: lint
	$(BIN)/python -m pytest tests/fast tests/golden tests/shape tests/whole tests/browser
	$(BIN)/python -m pytest $(COVERED) --cov=xinglin.metrics --cov=xinglin.files --cov=xinglin.formats --cov=xinglin.safety --cov-branch --cov-fail-under=90 --cov-report=term

test-slow: $(DEVELOPMENT)
	$(BIN)/python -m pytest tests/slow

lint: $(DEVELOPMENT)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# PyTorch goes first and alone: asked for together with the rest, pip may choose a CUDA build from another index.
$(TORCH): constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "需要 Python 3.11 或更高版本 Python 3.11 or newer is needed; $(PYTHON) is: $$($(PYTHON) --version 2>&1 | head -n 1). Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(PIP) install -c constraints.txt pip setuptools
	$(PIP) install -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url '$(TORCH_INDEX)') "$$(grep '^torch==' constraints.txt)"
	@echo '$(TORCH_INDEX)' > $@

$(RUNTIME): $(TORCH) constraints.txt pyproject.toml
	$(PIP) install -c constraints.txt --build-constraint constraints.txt -e .
	@touch $@

$(DEVELOPMENT): $(RUNTIME)
	$(PIP) install -c constraints.txt --build-constraint constraints.txt --group dev
	@touch $@
