"""Speed: ``python -m benchmarks`` beside other clients, ``python -m benchmarks.parse`` of the cores alone."""
