"""Where the command line begins: Ctrl-C is heard from here on, also while modules load."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from agentctl.cli.main import main as command_line
    except KeyboardInterrupt:
        sys.exit(130)
    command_line()


if __name__ == "__main__":
    main()
