# Every target sets itself up: only Python 3.11 and make are needed.
PYTHON ?= python3.11
BIN := .venv/bin
DEMO := demo

.PHONY: env demo test check bench clean

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
	$(BIN)/edgesdk run $(DEMO)/digits.tflite --source "$$($(BIN)/python -m edgesdk.digits)/test" --frames 10 --events $(DEMO)/events.jsonl
	@echo "everything is in $(DEMO)/: digits.tflite, its training in digits.run/, bench.html, events.jsonl"

test: env
	$(BIN)/python -m pytest -q

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

# The figures that the README quotes; needs the photo sets that benchmarks/README.md names.
bench: env
	$(BIN)/python benchmarks/readme_table.py
	$(BIN)/python benchmarks/speed.py

clean:
	rm -rf .venv $(DEMO)
