# Everything runs in .venv, which `make setup` (or any target that needs it) makes.
VENV := .venv
PY := $(VENV)/bin/python
PYTHON := python3
SOURCES := movierec_bench tests benchmarks site_builder notebooks faults

PEERS := .venv-peers
VENV2 := .venv-numpy2

.PHONY: setup demo bench published test test-all test-numpy2 faults docs picture notebooks notebooks-owner format lint types clean

# Python 3.10 and 3.11 get RecBole with its pins from pip; for later Pythons the last line brings it without them.
$(VENV)/installed: setup.cfg setup.py requirements-dev.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip "setuptools<81" wheel
	$(PY) -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(PY) -m pip install --quiet --no-deps recbole==1.2.1
	touch $@

setup: $(VENV)/installed

demo: setup  ## convert RecBole's packaged ml-100k, run a few models, print the board
	$(PY) -m movierec_bench convert
	$(PY) -m movierec_bench run --models fast,BPR,MultiVAE --budget 30

# Two test processes of one thread each: numerical libraries that share two cores only get in each other's way.
PYTEST = OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadgroup

test: setup
	$(PYTEST) -m "not slow"

$(VENV2)/installed: setup.cfg setup.py requirements-dev.txt requirements-numpy2.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV2)
	$(VENV2)/bin/python -m pip install --quiet --upgrade pip "setuptools<81" wheel
	$(VENV2)/bin/python -m pip install --quiet -c constraints.txt -r requirements-numpy2.txt -r requirements-dev.txt
	$(VENV2)/bin/python -m pip install --quiet --no-deps --no-build-isolation recbole==1.2.1 -e .
	touch $@

test-numpy2: PY := $(VENV2)/bin/python
test-numpy2: $(VENV2)/installed  ## the tests with current NumPy, pandas and Ray, in a second environment of Python 3.11 or later; TESTS="tests/data" for a part
	$(PYTEST) -m "not slow" $(TESTS)

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

published: setup  ## repeat published tables from the data in DATA=folder; ONLY="gowalla:ItemKNN_100 beauty" for a part
	@test -n "$(DATA)" || { echo "say where the data are: make published DATA=folder"; exit 2; }
	$(PY) -m benchmarks.published $(DATA) $(ONLY)

# The two variables silence advertisements of other programs that the theme and a plugin print.
docs: setup  ## the documentation site in site/, built without the network; a warning is an error
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(VENV)/bin/mkdocs build --strict --quiet

CHROMIUM := chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars

picture: setup  ## docs/images/report.png, the picture of a report in the READMEs; needs Chromium
	$(PY) -m movierec_bench convert
	$(PY) -m movierec_bench run --models fast --out build/picture
	$(PY) -m movierec_bench ensemble build/picture/ml-100k
	$(PY) -m movierec_bench report build/picture/ml-100k
	$(CHROMIUM) --window-size=1280,1130 --virtual-time-budget=20000 --screenshot=docs/images/report.png \
		file://$(CURDIR)/build/picture/ml-100k/report.html

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
	$(VENV)/bin/hadolint Dockerfile

types: setup
	$(VENV)/bin/mypy

clean:
	rm -rf $(VENV) $(VENV2) build dist *.egg-info
