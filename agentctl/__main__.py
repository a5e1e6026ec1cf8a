"""`python -m agentctl`: the command line without the script."""

from agentctl.cli.main import main

if __name__ == "__main__":
    main()
