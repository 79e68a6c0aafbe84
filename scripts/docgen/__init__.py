"""What is generated in `docs/`: the picture, the reference, and the output of every command shown. `python -m scripts.docgen`."""
