"""What is generated in README and `docs/`: the picture, the reference, outputs shown. `python -m scripts.docgen`."""
