"""Training: the model a shape describes, and the plain loop that trains it. Needs torch (``pip install 'isoflop[train]'``)."""
