"""`python -m lrsearch.worker`: started by `lrsearch.launch`, of no use by hand."""

from lrsearch.worker.process import main

if __name__ == "__main__":
    main()
