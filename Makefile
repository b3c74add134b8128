# make bench    set everything up and run the ge_extents suite
# make test     set everything up and run the tests
# make check    what is quick: format, lint, types, import rules
# make format   fix format and lint
# make docs     build the documentation site into build/site; a broken link is an error
# make pictures draw the figures of the documentation again, from the committed reference run
# make soak     what takes hours: 1,000 comparisons, 260 kills, 80 checks, 500 shapes, 41 evil modules, 61 families of backbones, 22,000 attacks

PYTHON ?= python3
BIN := .venv/bin

.PHONY: bench test check format docs pictures soak clean

bench: .venv/.ready
	$(BIN)/python -m attn_bench run --suite ge_extents

test: .venv/.ready
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: .venv/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

pictures: .venv/.ready
	$(BIN)/python -m attn_bench report results/reference/ge_extents-cpu --where 'channels == 512' --out build/page.html --svg docs/images

soak: .venv/.ready
	$(BIN)/python benchmarks/soak_gather_excite.py
	$(BIN)/python benchmarks/sanitize_gather_excite.py --large
	$(BIN)/python benchmarks/attack.py
	ATTN_BENCH_EXAMPLES=50 $(BIN)/python -m pytest --numprocesses 2 tests/store/test_hostile.py
	$(BIN)/python benchmarks/random_kills.py
	$(BIN)/python benchmarks/fleet_claims.py
	$(BIN)/python benchmarks/fleet_kills.py
	$(BIN)/python benchmarks/fleet_kills.py --s3
	$(BIN)/python benchmarks/check_rates.py
	$(BIN)/python benchmarks/check_rates.py --planted 5
	$(BIN)/python benchmarks/busy_machine.py
	$(BIN)/python benchmarks/evil_modules.py
	$(BIN)/python benchmarks/build_backbones.py
	$(BIN)/python benchmarks/run_documented.py
	$(BIN)/python benchmarks/error_rates.py

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; ok = (3, 11) <= v < (3, 14); sys.exit(None if ok else f"attn-bench needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .import_linter_cache
