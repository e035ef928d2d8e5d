"""``python -m movierec_bench``."""

if __name__ == "__main__":
    try:
        from movierec_bench.cli import main

        main()
    except KeyboardInterrupt:  # while it was imported
        raise SystemExit(130) from None
