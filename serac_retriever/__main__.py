"""``python -m serac_retriever`` is the command ``serac``."""

from serac_retriever.cli import main

if __name__ == "__main__":
    main()
