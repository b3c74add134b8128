"""`python -m attn_bench`."""

from attn_bench.cli import main

raise SystemExit(main())
