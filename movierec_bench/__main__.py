"""``python -m movierec_bench``."""

from movierec_bench.cli import main

if __name__ == "__main__":
    main()
