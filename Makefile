# Everything runs in .venv, which `make setup` (or any target that needs it) makes.
VENV := .venv
PY := $(VENV)/bin/python
SOURCES := movierec_bench tests benchmarks site_builder notebooks faults

PEERS := .venv-peers

.PHONY: setup demo bench test test-all faults docs notebooks notebooks-owner format lint types clean

$(VENV)/installed: setup.cfg constraints.txt pyproject.toml
	python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip "setuptools<81" wheel
	$(PY) -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

setup: $(VENV)/installed

demo: setup  ## convert RecBole's packaged ml-100k, run a few models, print the board
	$(PY) -m movierec_bench convert
	$(PY) -m movierec_bench run --models fast,BPR,MultiVAE --budget 30

# Two test processes of one thread each: numerical libraries that share two cores only get in each other's way.
PYTEST := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadgroup

test: setup
	$(PYTEST) -m "not slow"

test-all: setup  ## also the complete pass over every catalogued model
	$(PYTEST)

faults: setup  ## break it in some 1,500 ways and check what is left; ONLY="run-fresh,convert" for a part
	OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(PY) -m faults $(if $(ONLY),--scenes $(ONLY))

$(PEERS)/installed: benchmarks/peers-requirements.txt
	python3 -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet -r benchmarks/peers-requirements.txt
	touch $@

bench: setup $(PEERS)/installed  ## measure against RecBole and peers; ONLY="EASE BPR" for a part
	$(PY) -m pip install --quiet -c constraints.txt -e ".[bench]"
	$(PY) -m benchmarks $(ONLY)

# The two variables silence advertisements of other programs that the theme and a plugin print.
docs: setup  ## the documentation site in site/, built without the network; a warning is an error
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(VENV)/bin/mkdocs build --strict --quiet

notebooks: setup  ## run the notebooks and store their outputs
	$(PY) notebooks/execute.py

notebooks-owner:  ## the owner of the published repository, for the notebooks' badges and install line: OWNER=name
	@test -n "$(OWNER)" || { echo "say whose: make notebooks-owner OWNER=name"; exit 2; }
	sed -i 's#OWNER/movierec_bench#$(OWNER)/movierec_bench#g' notebooks/*.ipynb

format: setup
	$(VENV)/bin/ruff format $(SOURCES)
	$(VENV)/bin/ruff check --fix $(SOURCES)

lint: setup
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)

types: setup
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info
