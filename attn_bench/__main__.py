"""`python -m attn_bench`."""

try:
    from attn_bench.cli.main import main

    status = main()
except KeyboardInterrupt:  # before there was anybody to handle it
    status = 130
raise SystemExit(status)
