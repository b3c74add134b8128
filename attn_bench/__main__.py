"""Runs the program: `python -m attn_bench`."""

try:
    from attn_bench.cli.main import main

    status = main()
except KeyboardInterrupt:  # before `main` could handle it
    from attn_bench.model.status import Exit

    status = Exit.INTERRUPTED
raise SystemExit(status)
