# Every target sets itself up: only Python 3.11 and make are needed.
PYTHON ?= python3.11
BIN := .venv/bin
DEMO := demo

.PHONY: env demo test check bench locks audit dist clean

env: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@# Where the system has no libGL, the OpenCV without windows does everything but --show.
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	  $(BIN)/python -m pip uninstall --quiet --yes opencv-python && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check opencv-python-headless==4.11.0.86; }
	@touch $@

# The whole path on real handwritten digits: learn, convert, prove, verify, measure, run.
demo: env
	mkdir -p $(DEMO)
	$(BIN)/edgesdk convert --width 0.5 --res 160 -o $(DEMO)/digits.tflite
	$(BIN)/edgesdk verify $(DEMO)/digits.tflite
	$(BIN)/edgesdk bench $(DEMO)/digits.tflite --data digits --threads 1,2 --report $(DEMO)/bench.html
	$(BIN)/edgesdk run $(DEMO)/digits.tflite --source "$$($(BIN)/python -m edgesdk.photos.digits)/test" --frames 10 --events $(DEMO)/events.jsonl
	@echo "everything is in $(DEMO)/: digits.tflite, its training in digits.run/, bench.html, events.jsonl"

# Two files at a time: TensorFlow's start and the cameras' waits leave a core idle otherwise.
test: env
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

# The figures that the README quotes; needs the photo sets that benchmarks/README.md names.
bench: env
	$(BIN)/python benchmarks/readme_table.py
	$(BIN)/python benchmarks/speed.py

# The versions and hashes that the README's installs may be held to, a file a role.
ROLES := device app phone report all
SUPPLY := .venv/supply/bin

$(SUPPLY): env
	$(PYTHON) -m venv .venv/supply
	$(SUPPLY)/python -m pip install --quiet --disable-pip-version-check \
	  uv==0.13.9 pip-audit==2.10.1 cyclonedx-bom==7.5.0 build==1.6.1

locks: $(SUPPLY)
	mkdir -p locks
	@for role in $(ROLES); do \
	  $(SUPPLY)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --custom-compile-command 'make locks' -c constraints.txt $$([ $$role = device ] || echo --extra $$role) \
	    pyproject.toml -o locks/$$role.txt; \
	done

# Known holes in any locked version; asks the PyPI's vulnerability service.
audit: $(SUPPLY)
	$(SUPPLY)/pip-audit --require-hashes --disable-pip -r locks/all.txt

# The wheel, the sdist and their list of parts (CycloneDX); both packages installed by the locked versions into an empty
# environment on every Python here that can run the device side.
dist: $(SUPPLY)
	rm -rf dist && $(SUPPLY)/python -m build --quiet
	$(SUPPLY)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml -o dist/sbom.cdx.json locks/all.txt
	$(BIN)/edgesdk convert --quiet --width 0.25 --res 96 --epochs 1 -o dist/digits.tflite
	for python in python3.11 python3.12 python3.13; do \
	  $$python -c '' 2>/dev/null || { echo "$$python is not here: not tried"; continue; }; \
	  for package in dist/*.whl dist/*.tar.gz; do \
	    rm -rf dist/empty && $$python -m venv dist/empty && \
	    dist/empty/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/device.txt && \
	    dist/empty/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $$package && \
	    (cd dist/empty && bin/edgesdk verify --quiet ../digits.tflite && \
	      bin/edgesdk run --quiet ../digits.tflite --source synthetic --frames 3) >/dev/null && \
	    echo "$$($$python --version), $$package: verified and run" || exit 1; \
	  done; \
	done

clean:
	rm -rf .venv dist $(DEMO)
