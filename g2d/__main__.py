"""Entry point of `python -m g2d` and of the script `g2d`."""

from g2d.cli import app


def main() -> None:
    """Run the command line of this process and exit with its status."""
    app(prog_name="g2d")


if __name__ == "__main__":
    main()
