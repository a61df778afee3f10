"""`python -m seqcost` is the `seqcost` command."""

from seqcost.cli.main import main

if __name__ == "__main__":
    main()
